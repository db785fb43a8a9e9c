"""What the numbers were measured on: the machine, its limits and its software, as environment.json holds it.

Everything is read from /proc and /sys without being root. What cannot be read is null; nothing here raises, and what
may hang (a network file system, a GPU's driver) is asked in a thread that is left behind when it does not answer.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import kvscen
from kvscen.plugin.registry import registry
from kvscen.results.devices import file_system, read, read_int

#: How long to wait for all that may hang, together.
PATIENCE_S = 5.0

_PACKAGES = ("attrs", "click", "entrypoints", "lark", "numpy", "pyarrow", "rich", "trio")
_VARIABLES = ("UCX_", "MC_", "CUFILE_")
_SECRET = ("SECRET", "KEY", "TOKEN", "PASSWORD")
_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


def capture(paths: Sequence[str] = ()) -> dict[str, Any]:
    """The environment; `paths` are the tiers' folders (they need not exist yet). Takes at most PATIENCE_S. Never
    raises."""
    slow: dict[str, Callable[[], Any]] = {"gpus": _gpus}
    for path in dict.fromkeys(paths):
        slow[f"path:{path}"] = lambda path=path: file_system(path)  # type: ignore[misc]
    answers = _ask_all(slow, PATIENCE_S)
    silent = {"problem": f"did not answer within {PATIENCE_S:g} s"}
    return {
        "captured_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "hostname": _safely(socket.gethostname),
        "machine": _safely(_machine),
        "kernel": {"release": platform.release(), "version": platform.version(), "clock": read(_CLOCK)},
        "cpu": _safely(_cpu),
        "memory": _safely(_memory),
        "limits": _safely(_limits),
        "file_systems": [{"path": path} | (answers.get(f"path:{path}") or silent) for path in dict.fromkeys(paths)],
        "gpus": answers.get("gpus", silent),
        "network": _safely(_network),
        "versions": _safely(_versions),
        "drivers": _safely(_drivers),
        "variables": _variables(os.environ),
    }


_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def _safely(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        # Whatever a machine's /proc holds, a run must not fail for the description of its machine.
        return {"problem": f"{type(error).__name__}: {error}"}


def _ask_all(questions: Mapping[str, Callable[[], Any]], patience_s: float) -> dict[str, Any]:
    """The answers that came in time. Each question has a daemon thread, so that one that hangs holds up nothing."""
    answers: dict[str, Any] = {}

    def ask(name: str, question: Callable[[], Any]) -> None:
        answers[name] = _safely(question)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in questions.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)


def _machine() -> dict[str, Any]:
    flags = _cpuinfo().get("flags", "").split()
    return {
        "product": read(Path("/sys/class/dmi/id/product_name")),
        "virtual": "hypervisor" in flags if flags else None,
        "load_average": list(os.getloadavg()),
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo."""
    found: dict[str, str] = {}
    for line in (read(Path("/proc/cpuinfo")) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _cpu() -> dict[str, Any]:
    info = _cpuinfo()
    online = sorted(_CPU.glob("cpu[0-9]*"))
    cores = {
        (read(cpu / "topology/physical_package_id"), read(cpu / "topology/core_id"))
        for cpu in online
        if (cpu / "topology/core_id").exists()
    }
    nodes = sorted(Path("/sys/devices/system/node").glob("node[0-9]*"), key=lambda n: int(n.name[4:]))
    governors = {read(cpu / "cpufreq/scaling_governor") for cpu in online} - {None}
    return {
        "model": info.get("model name") or info.get("Model") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "sockets": len({package for package, _ in cores}) or None,
        "cores": len(cores) or None,
        "threads": os.cpu_count(),
        "usable_threads": len(os.sched_getaffinity(0)),
        "governor": ", ".join(sorted(str(governor) for governor in governors)) or None,
        "turbo": _turbo(),
        "numa_nodes": [
            {"node": int(node.name[4:]), "cpus": read(node / "cpulist"), "memory_bytes": _node_memory(node)}
            for node in nodes
        ],
    }


def _turbo() -> bool | None:
    no_turbo = read_int(_CPU / "intel_pstate/no_turbo")
    boost = read_int(_CPU / "cpufreq/boost")
    return (not no_turbo) if no_turbo is not None else (bool(boost) if boost is not None else None)


def _node_memory(node: Path) -> int | None:
    for line in (read(node / "meminfo") or "").splitlines():
        if "MemTotal:" in line:
            return int(line.split()[-2]) * 1024
    return None


def _memory() -> dict[str, Any]:
    info = {}
    for line in (read(Path("/proc/meminfo")) or "").splitlines():
        name, _, value = line.partition(":")
        info[name] = int(value.split()[0]) * (1024 if value.endswith("kB") else 1)
    thp = Path("/sys/kernel/mm/transparent_hugepage")
    return {
        "total_bytes": info.get("MemTotal"),
        "available_bytes": info.get("MemAvailable"),
        "swap_bytes": info.get("SwapTotal"),
        "swap_used_bytes": info.get("SwapTotal", 0) - info.get("SwapFree", 0),
        "transparent_hugepages": _chosen(read(thp / "enabled")),
        "transparent_hugepages_defrag": _chosen(read(thp / "defrag")),
        "transparent_hugepages_shmem": _chosen(read(thp / "shmem_enabled")),
        "hugepages": {
            pool.name.removeprefix("hugepages-"): {
                "total": read_int(pool / "nr_hugepages"),
                "free": read_int(pool / "free_hugepages"),
            }
            for pool in sorted(Path("/sys/kernel/mm/hugepages").glob("hugepages-*"))
        },
    }


def _chosen(text: str | None) -> str | None:
    """The word in brackets: `always [madvise] never`."""
    return text.partition("[")[2].partition("]")[0] if text and "[" in text else text


def _limits() -> dict[str, Any]:
    def soft(which: int) -> int | None:
        limit = resource.getrlimit(which)[0]
        return None if limit == resource.RLIM_INFINITY else limit

    memory, cpus, group = _cgroup()
    return {
        "memlock_bytes": soft(resource.RLIMIT_MEMLOCK),
        "memlock_unlimited": soft(resource.RLIMIT_MEMLOCK) is None,
        "open_files": soft(resource.RLIMIT_NOFILE),
        "file_size_bytes": soft(resource.RLIMIT_FSIZE),
        "cgroup": group,
        "cgroup_memory_bytes": memory,
        "cgroup_cpus": cpus,
        "io_uring_disabled": read_int(Path("/proc/sys/kernel/io_uring_disabled")),
    }


def _cgroup() -> tuple[int | None, float | None, str | None]:
    """(least memory, fewest CPUs, path) that the process's control groups allow; None: no limit."""
    memory: list[int] = []
    cpus: list[float] = []
    name = None
    for line in (read(Path("/proc/self/cgroup")) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        root = _CGROUP / controllers if controllers else _CGROUP
        if not controllers:
            name = path
            root = root if (root / "cgroup.controllers").exists() else root / "unified"
        here = root / path.lstrip("/")
        while root in (here, *here.parents):
            for file in ("memory.max", "memory.limit_in_bytes"):
                limit = read_int(here / file)
                # v1 says "no limit" with the largest multiple of a page.
                if limit is not None and limit < 2**62:
                    memory.append(limit)
            quota, _, period = (read(here / "cpu.max") or "").partition(" ")
            if quota.isdigit() and period.isdigit():
                cpus.append(int(quota) / int(period))
            old_quota, old_period = read_int(here / "cpu.cfs_quota_us"), read_int(here / "cpu.cfs_period_us")
            if old_quota and old_period and old_quota > 0:
                cpus.append(old_quota / old_period)
            if here == root:
                break
            here = here.parent
    return min(memory, default=None), min(cpus, default=None), name


_GPU_FIELDS = {
    "index": "index",
    "name": "name",
    "uuid": "uuid",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "pci": "pci.bus_id",
    "pcie_generation": "pcie.link.gen.current",
    "pcie_width": "pcie.link.width.current",
}


def _gpus() -> Any:
    """One entry for each GPU that nvidia-smi lists. Nothing is imported: a GPU library may hang for ever."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    process = subprocess.Popen(
        [program, f"--query-gpu={','.join(_GPU_FIELDS.values())}", "--format=csv,noheader,nounits"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE_S * 0.8)
    except subprocess.TimeoutExpired:
        # Not waited for: a process that hangs in the GPU's driver may not die.
        process.kill()
        return {"problem": "nvidia-smi did not answer"}
    if process.returncode != 0:
        return {"problem": f"nvidia-smi: {output.strip().splitlines()[0] if output.strip() else process.returncode}"}
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line.strip()]
    return [dict(zip(_GPU_FIELDS, row, strict=False)) for row in rows]


def _network() -> list[dict[str, Any]]:
    cards = []
    for card in sorted(Path("/sys/class/net").iterdir()):
        if not (card / "device").exists():
            continue
        speed = read_int(card / "speed")
        cards.append(
            {
                "name": card.name,
                "state": read(card / "operstate"),
                "speed_mbit_per_s": speed if speed and speed > 0 else None,
                "mtu_bytes": read_int(card / "mtu"),
                "driver": _link(card / "device/driver"),
                "numa_node": read_int(card / "device/numa_node"),
                "rdma": [device.name for device in sorted((card / "device/infiniband").glob("*"))],
            }
        )
    return cards


def _link(path: Path) -> str | None:
    return path.resolve().name if path.exists() else None


def _versions() -> dict[str, str | None]:
    def installed(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return {
        "kvscen": kvscen.__version__,
        "python": sys.version.split()[0],
        "python_build": " ".join(platform.python_build()),
        "libc": " ".join(platform.libc_ver()),
        **{package: installed(package) for package in _PACKAGES},
    }


def _drivers() -> dict[str, str]:
    return {name: f"{ref.distribution} {ref.version}" for name, ref in sorted(registry().refs.items())}


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that steer UCX, Mooncake and cuFile. What looks like a secret is named, not shown."""
    return {
        name: "***" if any(word in name.upper() for word in _SECRET) else value
        for name, value in sorted(environment.items())
        if name.startswith(_VARIABLES)
    }
