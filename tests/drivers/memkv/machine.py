"""A virtual machine with soft-RoCE, for tests of the `rdma` transport where there is no RDMA device.

Debian's kernel boots under software emulation, sees this machine's file system (and writes to a memory of its own),
makes RDMA devices of its network cards (rxe) and runs a command, whose output and exit status come back over the serial
console. That the verbs path is right is what it can tell; how fast it is it cannot.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

#: What the machine needs: its disk is virtio's file system, its network cards are virtio's.
MODULES = (
    *("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "overlay", "crc32_generic", "crc32c_generic"),
    *("rdma_rxe", "rdma_ucm", "rdma_cm", "ib_uverbs"),
)
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "rdma": "iproute2"}
#: The network cards: eth0 and eth1, with the devices rxe0 and rxe1.
ADDRESSES = ("10.0.2.15", "10.0.3.15")
_EXIT = "exit status of the command:"

_INIT = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module.ko || echo "insmod $module failed"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro host /lower || echo "no host file system"
mount -t tmpfs tmpfs /upper; mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /host || echo "no overlay"
for folder in proc sys dev; do mount --rbind /$folder /host/$folder; done
mkdir -p /host/dev/shm; mount -t tmpfs tmpfs /host/dev/shm; mount -t tmpfs tmpfs /host/tmp
ip link set lo up
number=0
for address in @ADDRESSES@; do
  ip addr add $address/24 dev eth$number; ip link set eth$number up
  chroot /host rdma link add rxe$number type rxe netdev eth$number || echo "no RDMA device rxe$number"
  number=$((number + 1))
done
cp /command /host/tmp/command
chroot /host /bin/sh /tmp/command
echo "@EXIT@ $?"
poweroff -f
"""


class NoMachine(Exception):
    """What is missing for a virtual machine, and how to get it."""


@attrs.frozen
class Machine:
    """`kernel`: the unpacked package of a Debian kernel; `folder`: for what it boots from."""

    kernel: Path
    folder: Path
    memory_mib: int = 3072

    @classmethod
    def make(cls, cache: Path, folder: Path) -> Machine:
        """Fetches the kernel into `cache`, once, without root. Raises NoMachine."""
        for program, package in PROGRAMS.items():
            if shutil.which(program) is None:
                raise NoMachine(f"{program} is not installed: apt install {package}")
        if not list(cache.glob("boot/vmlinuz-*")):
            _fetch(cache)
        return cls(cache, folder)

    def run(self, command: str, timeout_s: float) -> tuple[int, str]:
        """(exit status, output). Raises subprocess.TimeoutExpired."""
        (image,) = self.kernel.glob("boot/vmlinuz-*")
        cards = [
            word
            for number, address in enumerate(ADDRESSES)
            for word in (
                *("-netdev", f"user,id=net{number},restrict=on,ipv6=off,net={address.rpartition('.')[0]}.0/24"),
                *("-device", f"virtio-net-pci,netdev=net{number}"),
            )
        ]
        done = subprocess.run(
            [
                *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
                *("-m", str(self.memory_mib), "-nographic", "-no-reboot"),
                *("-kernel", str(image), "-initrd", str(self._initramfs(command))),
                *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
                *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
                *cards,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
        output = done.stdout.replace("\r\n", "\n")
        found = re.search(rf"^{_EXIT} (\d+)$", output, re.MULTILINE)
        return (int(found[1]) if found else -1), output

    def _initramfs(self, command: str) -> Path:
        root = self.folder / "root"
        for name in ("bin", "proc", "sys", "dev", "lower", "upper", "host", "modules"):
            (root / name).mkdir(parents=True, exist_ok=True)
        busybox = shutil.which("busybox")
        assert busybox is not None
        shutil.copy(busybox, root / "bin" / "busybox")
        order = list(_in_order(self.kernel, MODULES))
        for module in order:
            shutil.copy(module, root / "modules" / module.name)
        (root / "modules" / "order").write_text("\n".join(module.stem for module in order))
        (root / "command").write_text(command + "\n")
        init = root / "init"
        init.write_text(_INIT.replace("@EXIT@", _EXIT).replace("@ADDRESSES@", " ".join(ADDRESSES)))
        init.chmod(0o755)
        image = self.folder / "initramfs"
        names = "\0".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with image.open("wb") as out:
            pack = [busybox, "cpio", "-0", "-o", "-H", "newc"]
            subprocess.run(pack, cwd=root, input=names.encode(), stdout=out, stderr=subprocess.DEVNULL, check=True)
        return image


def _fetch(cache: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NoMachine("the kernel comes from Debian's packages, and apt-get or dpkg is not here")
    names = r"^linux-image-6\.1\.0-[0-9]+-amd64$"
    listed = subprocess.run(["apt-cache", "search", "--names-only", names], capture_output=True, text=True, check=False)
    packages = sorted((line.split()[0] for line in listed.stdout.splitlines()), key=lambda each: (len(each), each))
    if not packages:
        raise NoMachine("no kernel of Debian 12 (linux-image-6.1.0-*-amd64) is among apt's packages")
    cache.mkdir(parents=True, exist_ok=True)
    fetch = ["apt-get", "-qq", "download", packages[-1]]
    for command in (fetch, ["sh", "-c", f"dpkg -x {packages[-1]}_*.deb . && rm *.deb"]):
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoMachine(f"{shlex.join(command)} failed: {done.stderr.strip()}")


def _in_order(kernel: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """The modules and, before each, those that it depends on, as it says itself."""
    files = {path.stem.replace("-", "_"): path for path in kernel.glob("lib/modules/*/kernel/**/*.ko")}
    seen: set[str] = set()

    def with_needs(name: str) -> Iterator[Path]:
        name = name.replace("-", "_")
        if name in seen:
            return
        seen.add(name)
        if name not in files:
            return  # built into the kernel
        found = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for need in filter(None, found[1].decode().split(",") if found else []):
            yield from with_needs(need)
        yield files[name]

    for name in wanted:
        yield from with_needs(name)
