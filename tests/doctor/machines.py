"""Machines for the doctor: a folder with the files of /proc and /sys that a kernel would show, and what it would answer
to system calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from kvscen.facts.files import Files
from kvscen.facts.gather import Facts, Senses, gather
from kvscen.facts.software import Python
from kvscen.facts.storage import Look
from kvscen.facts.wear import Wear

#: The text of a file; a link where it begins with `->`; None: there is no such file.
Tree = Mapping[str, str | None]

NVME = "sys/devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0n1"
CPU = "sys/devices/system/cpu"
THP = "sys/kernel/mm/transparent_hugepage"
CLOCK = "sys/devices/system/clocksource/clocksource0"

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max file size             {fsize:21}unlimited            bytes
Max open files            {files:21}1048576              files
Max locked memory         {memlock:21}unlimited            bytes
"""

#: A server that somebody has prepared: nothing to complain of.
GOOD: Tree = {
    "proc/cpuinfo": "processor : 0\nmodel name : AMD EPYC 9354\nflags : fpu tsc\n",
    "proc/loadavg": "0.01 0.02 0.00 1/700 4242",
    "proc/stat": "cpu  100 0 100 10000 0 0 0 0 0 0\ncpu0 50 0 50 5000 0 0 0 0 0 0\ncpu1 50 0 50 5000 0 0 0 0 0 0\n",
    "proc/meminfo": "MemTotal: 65536000 kB\nMemAvailable: 60000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/self/status": "CapEff:\t0000000000000000\nSeccomp:\t0\nCpus_allowed_list:\t0-1\n",
    "proc/self/limits": LIMITS.format(fsize="unlimited", files="65536", memlock="unlimited"),
    "proc/self/cgroup": "0::/user.slice",
    "proc/self/mountinfo": "27 1 259:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw\n"
    "40 27 259:0 / /mnt/nvme rw,noatime - xfs /dev/nvme0n1 rw\n",
    "proc/sys/kernel/osrelease": "6.12.0",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/kernel/io_uring_disabled": "0",
    "proc/sys/fs/aio-max-nr": "1048576",
    "proc/sys/fs/aio-nr": "0",
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/dirty_bytes": "0",
    "proc/sys/vm/dirty_ratio": "20",
    "sys/class/dmi/id/product_name": "PowerEdge R7625",
    "sys/class/dmi/id/sys_vendor": "Dell Inc.",
    f"{CPU}/online": "0-1",
    f"{CPU}/smt/active": "0",
    f"{CPU}/cpufreq/boost": "0",
    **{
        f"{CPU}/cpu{n}/{name}": text
        for n in range(2)
        for name, text in {
            "topology/physical_package_id": "0",
            "topology/core_id": str(n),
            "cpufreq/scaling_governor": "performance",
            "cpufreq/scaling_driver": "acpi-cpufreq",
        }.items()
    },
    "sys/devices/system/node/node0/cpulist": "0-1",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:       65536000 kB",
    f"{CLOCK}/current_clocksource": "tsc",
    f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm",
    f"{THP}/enabled": "always [madvise] never",
    f"{THP}/defrag": "always defer defer+madvise [madvise] never",
    f"{THP}/shmem_enabled": "always within_size [advise] never deny force",
    "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0",
    "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "0",
    f"{NVME}/dev": "259:0",
    f"{NVME}/size": "7501476528",
    f"{NVME}/stat": "100 0 2000 10 50 0 1000 10 0 20 20",
    f"{NVME}/device/model": "SAMSUNG MZWLO3T8HCLS",
    f"{NVME}/queue/rotational": "0",
    f"{NVME}/queue/scheduler": "[none] mq-deadline",
    f"{NVME}/queue/write_cache": "write through",
    "sys/dev/block/259:0": "->../../devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0n1",
    "sys/class/block/nvme0n1": "->../../devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0n1",
    "sys/block/nvme0n1": "->../devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0n1",
}

FOLDER = Look(
    real="/mnt/nvme/kv",
    seen="/mnt/nvme",
    exists=False,
    folder=True,
    writable=True,
    device=(259, 0),
    total_bytes=3840 * 10**9,
    free_bytes=3000 * 10**9,
    block_bytes=4096,
    direct_io=(4, 512),
)

HEALTHY = Wear("smartctl", used_percent=3, written_bytes=61_400 * 10**9, media_errors=0, warning=False)
PYTHON = Python("3.12.4", "main")
CPUS = "cpu0 50 0 50 5000 0 0 0 0 0 0\ncpu1 50 0 50 5000 0 0 0 0 0 0\n"


@attrs.frozen
class Machine:
    """`tree` is laid over GOOD, `later` is how files look after the sample's pause, `look` is what any path is."""

    tree: Tree = attrs.field(factory=dict)
    later: Tree = attrs.field(factory=dict)
    look: Look = FOLDER
    wear: Wear = HEALTHY
    held_bytes: int = 0
    io_uring_error: int = 0
    python: Python = PYTHON

    def facts(self, root: Path, path: str = "/mnt/nvme/kv") -> Facts:
        """What it says, laid out below `root`."""
        lay_out(root, {**GOOD, **self.tree})
        times = iter([0.0, 0.5])
        senses = Senses(
            look=lambda _: self.look,
            wear=lambda _: self.wear,
            held=lambda _: self.held_bytes,
            io_uring=lambda: self.io_uring_error,
            gpus=lambda: [],
            wait=self._pause(root),
            clock=lambda: next(times),
            python=lambda: self.python,
        )
        return gather([path], Files(root), senses, counted=[path])

    def _pause(self, root: Path) -> Callable[[float], None]:
        idle = {"proc/stat": f"cpu  100 0 100 10100 0 0 0 0 0 0\n{CPUS}"}
        return lambda _: lay_out(root, {**idle, **self.later})


def lay_out(root: Path, tree: Tree) -> None:
    for name, text in tree.items():
        path = root / name
        if text is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            if not path.is_symlink():
                path.symlink_to(text[2:])
        elif not path.exists() or path.read_text() != text + "\n":
            path.write_text(text + "\n")


def _mount(line: str) -> Tree:
    return {"proc/self/mountinfo": f"27 1 259:0 / / rw - {line}\n"}


def _status(caps: int = 0, seccomp: int = 0, cpus: str = "0-1") -> Tree:
    return {"proc/self/status": f"CapEff:\t{caps:016x}\nSeccomp:\t{seccomp}\nCpus_allowed_list:\t{cpus}\n"}


def _stat(user: int, idle: int, steal: int) -> Tree:
    total = f"{100 + user} 0 100 {10000 + idle} 0 0 0 {steal} 0 0"
    return {"proc/stat": f"cpu  {total}\n{CPUS}"}


def _look(**changes: object) -> Look:
    return attrs.evolve(FOLDER, **changes)  # type: ignore[arg-type]


def _disk(name: str, **files: str) -> Tree:
    """Another disk in the place of the NVMe one."""
    folder = f"sys/devices/virtual/block/{name}"
    return {
        f"{folder}/size": "2097152",
        f"{folder}/dev": "7:0",
        f"{folder}/stat": "100 0 2000 10 50 0 1000 10 0 20 20",
        f"{folder}/queue/rotational": "0",
        **{f"{folder}/{key.replace('__', '/')}": text for key, text in files.items()},
        "sys/dev/block/7:0": f"->../../devices/virtual/block/{name}",
        f"sys/block/{name}": f"->../devices/virtual/block/{name}",
    }


#: Each spoils one thing of the good machine.
VARIANTS: Mapping[str, Machine] = {
    "governor": Machine({f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"}),
    "boost of Intel": Machine({f"{CPU}/intel_pstate/no_turbo": "0"}),
    "boost of AMD": Machine({f"{CPU}/cpufreq/boost": "1"}),
    "SMT": Machine({f"{CPU}/smt/active": "1", f"{CPU}/cpu1/topology/core_id": "0"}),
    "load": Machine(later=_stat(75, 25, 0)),
    "steal": Machine(later=_stat(0, 90, 10)),
    "CPU quota of version 2": Machine(
        {"sys/fs/cgroup/cgroup.controllers": "cpu", "sys/fs/cgroup/user.slice/cpu.max": "150000 100000"}
    ),
    "CPU quota of version 1": Machine(
        {
            "proc/self/cgroup": "4:cpu:/docker/1\n0::/",
            "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us": "100000",
        }
    ),
    "few CPUs": Machine(_status(cpus="1")),
    "slow clock": Machine({f"{CLOCK}/current_clocksource": "hpet"}),
    "slow clock and no tsc": Machine(
        {f"{CLOCK}/current_clocksource": "acpi_pm", f"{CLOCK}/available_clocksource": "acpi_pm"}
    ),
    "NUMA balancing": Machine({"sys/devices/system/node/node1/cpulist": "1", "proc/sys/kernel/numa_balancing": "1"}),
    "no huge pages": Machine({f"{THP}/enabled": "always madvise [never]"}),
    "no defrag": Machine({f"{THP}/defrag": "always [defer] madvise never"}),
    "huge pages set aside": Machine(
        {
            "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "40",
            "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": "40",
        }
    ),
    "swap": Machine(
        {
            "proc/meminfo": "MemTotal: 65536000 kB\nMemAvailable: 60000000 kB\n"
            "SwapTotal: 8388608 kB\nSwapFree: 7340032 kB\n"
        }
    ),
    "memory limit of version 2": Machine(
        {
            "sys/fs/cgroup/cgroup.controllers": "memory",
            "sys/fs/cgroup/user.slice/memory.max": "2147483648",
            "sys/fs/cgroup/user.slice/memory.current": "1073741824",
        }
    ),
    "io_uring switched off": Machine({"proc/sys/kernel/io_uring_disabled": "2"}, io_uring_error=1),
    "io_uring filtered": Machine({**_status(seccomp=2), ".dockerenv": ""}, io_uring_error=1),
    "io_uring too new": Machine({"proc/sys/kernel/osrelease": "4.18.0-553.el8"}, io_uring_error=38),
    "io_uring without memory": Machine(io_uring_error=12),
    "io_uring refused": Machine(io_uring_error=1),
    "aio": Machine({"proc/sys/fs/aio-nr": "1048000"}),
    "limits": Machine({"proc/self/limits": LIMITS.format(fsize="1000000000", files="256", memlock="8388608")}),
    "memlock of root": Machine(
        {"proc/self/limits": LIMITS.format(fsize="unlimited", files="65536", memlock="8388608"), **_status(1 << 14)}
    ),
    "kernel": Machine({"proc/sys/kernel/osrelease": "5.15.0-100-generic"}),
    "cloud": Machine(
        {
            "proc/cpuinfo": "flags : fpu hypervisor\n",
            "sys/class/dmi/id/product_name": "m6id.large",
            "sys/class/dmi/id/sys_vendor": "Amazon EC2",
            f"{NVME}/device/model": "Amazon Elastic Block Store",
        },
        wear=Wear(problem="smartctl could not read it (it needs root)"),
    ),
    "container": Machine({"proc/1/cgroup": "0::/kubepods/burstable/pod1"}),
    "WSL": Machine({"proc/sys/kernel/osrelease": "6.6.36.3-microsoft-standard-WSL2"}),
    "debug build": Machine(python=Python("3.13.0", "main", debug=True)),
    "traced": Machine(python=Python("3.13.0", "main", traced=True)),
    "free-threaded": Machine(python=Python("3.13.0", "main", free_threaded=True)),
    "no parent": Machine(look=_look(real="/mnt/other/kv", seen="/mnt")),
    "a file": Machine(look=_look(real="/mnt/nvme/kv", seen="/mnt/nvme/kv", exists=True, folder=False)),
    "read-only": Machine(_mount("xfs /dev/nvme0n1 ro")),
    "no permission": Machine(look=_look(writable=False)),
    "tmpfs": Machine(_mount("tmpfs tmpfs rw"), look=_look(device=(0, 27), direct_io=None)),
    "overlay": Machine(_mount("overlay overlay rw,lowerdir=/a"), look=_look(device=(0, 50))),
    "network": Machine(_mount("nfs4 server:/export rw,vers=4.2"), look=_look(device=(0, 51), direct_io=None)),
    "host's folder": Machine(_mount("9p shared rw"), look=_look(device=(0, 51), direct_io=None)),
    "FUSE": Machine(_mount("fuse.sshfs me@there: rw"), look=_look(device=(0, 51), direct_io=None)),
    "ZFS": Machine(_mount("zfs tank/kv rw"), look=_look(device=(0, 52), direct_io=None)),
    "sync": Machine(_mount("ext4 /dev/nvme0n1 rw,sync")),
    "compression": Machine(_mount("btrfs /dev/nvme0n1 rw,compress=zstd:3,space_cache=v2"), look=_look(device=(0, 40))),
    "copy on write": Machine(_mount("btrfs /dev/nvme0n1 rw,discard=async"), look=_look(device=(0, 40))),
    "data journal": Machine(_mount("ext4 /dev/nvme0n1 rw,data=journal"), look=_look(direct_io=(0, 0))),
    "no barriers": Machine(_mount("ext4 /dev/nvme0n1 rw,nobarrier")),
    "discard": Machine(_mount("ext4 /dev/nvme0n1 rw,discard")),
    "encryption": Machine(
        {
            **_disk("dm-0", dm__name="luks-data", dm__uuid="CRYPT-LUKS2-0123"),
            "sys/devices/virtual/block/dm-0/slaves/nvme0n1": f"->../../../../../../{NVME}",
        },
        look=_look(device=(7, 0)),
    ),
    "full": Machine(look=_look(free_bytes=200 * 10**9)),
    "I/O limit of version 2": Machine(
        {
            "sys/fs/cgroup/cgroup.controllers": "io",
            "sys/fs/cgroup/user.slice/io.max": "259:0 rbps=104857600 wbps=max riops=max wiops=max",
        }
    ),
    "I/O limit of version 1": Machine(
        {
            "proc/self/cgroup": "7:blkio:/docker/1\n0::/",
            "sys/fs/cgroup/blkio/docker/1/blkio.throttle.read_bps_device": "259:0 1048576",
        }
    ),
    "loop device": Machine(_disk("loop3"), look=_look(device=(7, 0))),
    "memory disk": Machine(_disk("zram0"), look=_look(device=(7, 0))),
    "hard disk": Machine({f"{NVME}/queue/rotational": "1"}),
    "scheduler": Machine({f"{NVME}/queue/scheduler": "none mq-deadline [bfq]"}),
    "write cache": Machine({f"{NVME}/queue/write_cache": "write back"}),
    "shared device": Machine(later={f"{NVME}/stat": "1100 0 206800 10 150 0 21480 10 0 20 20"}),
    "worn": Machine(wear=Wear("nvme", used_percent=92, written_bytes=900 * 10**12, media_errors=0, warning=False)),
    "failing": Machine(wear=Wear("smartctl", used_percent=40, media_errors=3, warning=True)),
}
