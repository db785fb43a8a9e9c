"""What lies under a path: mount, file system, block device, and what direct I/O asks for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from kvscen.facts.files import Files, chosen
from kvscen.facts.wear import Wear

#: For how long the files of a folder are counted.
_COUNTING_S = 1.0


@attrs.frozen
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    device: str
    type: str
    source: str
    options: str


@attrs.frozen
class Look:
    """What system calls say about the folder that a path names, or, where it does not exist yet, about its nearest
    parent that does (`seen`). `direct_io` is the alignment by statx (memory, offset) in bytes, (0, 0) where the kernel
    says that there is no direct I/O, None where it does not say."""

    real: str
    seen: str
    exists: bool
    folder: bool
    writable: bool
    device: tuple[int, int]
    total_bytes: int
    free_bytes: int
    block_bytes: int
    direct_io: tuple[int, int] | None = None


@attrs.frozen
class Device:
    """A block device. `parts` are those below a composed one (LVM, RAID, dm-crypt); `kind` is what device-mapper says
    that it is (`LVM`, `CRYPT`). `disk` is the whole device that a partition lies on, and `number` its major:minor."""

    name: str
    disk: str
    number: str | None = None
    model: str | None = None
    vendor: str | None = None
    kind: str | None = None
    firmware: str | None = None
    size_bytes: int | None = None
    rotational: bool | None = None
    scheduler: str | None = None
    logical_block_bytes: int | None = None
    physical_block_bytes: int | None = None
    requests: int | None = None
    largest_request_bytes: int | None = None
    read_ahead_bytes: int | None = None
    write_cache: str | None = None
    numa_node: int | None = None
    wear: Wear | None = None
    parts: tuple[Device, ...] = ()

    @property
    def disks(self) -> tuple[Device, ...]:
        """The devices at the bottom."""
        return tuple(disk for part in self.parts for disk in part.disks) if self.parts else (self,)


@attrs.frozen
class FileSystem:
    """The file system under a path. `seen` is the folder that was looked at: the path, or its nearest parent.
    `held_bytes` is what the files in the folder take on the disk, where that was asked for."""

    path: str
    real_path: str
    seen: str
    exists: bool
    folder: bool
    writable: bool
    mount_point: str | None = None
    type: str | None = None
    source: str | None = None
    options: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    held_bytes: int | None = None
    block_bytes: int | None = None
    direct_io_bytes: tuple[int, int] | None = None
    device: Device | None = None


def mounts(text: str) -> list[Mount]:
    """The mounts in a text in the form of /proc/self/mountinfo."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        head, tail = left.split(), right.split()
        if dash and len(head) >= 6 and len(tail) >= 2:
            options = head[5] + ("," + tail[2] if len(tail) > 2 else "")
            unique = ",".join(dict.fromkeys(options.split(",")))
            found.append(Mount(_unescape(head[4]), head[2], tail[0], _unescape(tail[1]), unique))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def mount_of(real_path: str, table: list[Mount]) -> Mount | None:
    """The mount that holds a path: the last one with the longest mount point."""
    best: Mount | None = None
    for mount in table:
        inside = real_path == mount.point or real_path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def look(path: str) -> Look:
    """Raises OSError. May block as long as the file system does."""
    real = os.path.realpath(path)
    seen = Path(real)
    while not seen.exists() and seen != seen.parent:
        seen = seen.parent
    space = os.statvfs(seen)
    number = seen.stat().st_dev
    return Look(
        real,
        str(seen),
        exists=str(seen) == real,
        folder=seen.is_dir(),
        writable=os.access(seen, os.W_OK | os.X_OK if seen.is_dir() else os.W_OK),
        device=(os.major(number), os.minor(number)),
        total_bytes=space.f_blocks * space.f_frsize,
        free_bytes=space.f_bavail * space.f_frsize,
        block_bytes=space.f_bsize,
        direct_io=_direct_io(seen),
    )


def held_bytes(folder: str) -> int:
    """What the files in a folder take on the disk; of very many files what is counted within a second."""
    total = 0
    deadline = time.monotonic() + _COUNTING_S
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += Path(where, name).lstat().st_blocks * 512
            if time.monotonic() > deadline:
                return total
    return total


def file_system(
    path: str,
    files: Files | None = None,
    at: Callable[[str], Look] = look,
    wear: Callable[[str], Wear] | None = None,
    held: Callable[[str], int] | None = None,
) -> FileSystem:
    """The file system and device under a path; where the path does not exist yet, under its nearest parent. `wear` is
    asked about each disk by its name, `held` what the folder holds.

    Raises OSError. May block as long as the file system does.
    """
    files = files or Files()
    seen = at(path)
    mount = mount_of(seen.seen, mounts(files.read("/proc/self/mountinfo") or ""))
    folder = _sys_of(files, seen.device, mount)
    return FileSystem(
        path=path,
        real_path=seen.real,
        seen=seen.seen,
        exists=seen.exists,
        folder=seen.folder,
        writable=seen.writable,
        mount_point=mount.point if mount else None,
        type=mount.type if mount else None,
        source=mount.source if mount else None,
        options=mount.options if mount else None,
        total_bytes=seen.total_bytes,
        free_bytes=seen.free_bytes,
        held_bytes=held(seen.real) if held and seen.exists else 0 if held else None,
        block_bytes=seen.block_bytes,
        direct_io_bytes=seen.direct_io,
        device=block_device(folder, files, wear) if folder else None,
    )


def _sys_of(files: Files, number: tuple[int, int], mount: Mount | None) -> Path | None:
    """The folder in /sys of the device with this number, or, where a file system has numbers of its own, of its
    source."""
    direct = files.link(f"/sys/dev/block/{number[0]}:{number[1]}")
    if direct is not None:
        return direct
    if mount and mount.source.startswith("/dev/"):
        node = files.link(mount.source)
        return files.link(f"/sys/class/block/{(node or Path(mount.source)).name}")
    return None


def block_device(device: Path, files: Files | None = None, wear: Callable[[str], Wear] | None = None) -> Device:
    """A block device from its folder in /sys (a path on this machine)."""
    files = files or Files()
    disk = device if (device / "queue").exists() else device.parent
    size = files.number(device / "size")
    parts = [files.link(part) for part in files.found(disk / "slaves", "*")]
    below = tuple(block_device(part, files, wear) for part in parts if part is not None)
    vendor = files.read(disk / "device/vendor")
    return Device(
        name=device.name,
        disk=disk.name,
        number=files.read(disk / "dev"),
        model=files.read(disk / "device/model") or vendor or files.read(disk / "dm/name"),
        vendor=vendor,
        kind=(files.read(disk / "dm/uuid") or "").partition("-")[0] or None,
        firmware=files.read(disk / "device/firmware_rev") or files.read(disk / "device/rev"),
        size_bytes=size * 512 if size is not None else None,
        rotational=files.flag(disk / "queue/rotational"),
        scheduler=chosen(files.read(disk / "queue/scheduler")),
        logical_block_bytes=files.number(disk / "queue/logical_block_size"),
        physical_block_bytes=files.number(disk / "queue/physical_block_size"),
        requests=files.number(disk / "queue/nr_requests"),
        largest_request_bytes=_kib(files.number(disk / "queue/max_sectors_kb")),
        read_ahead_bytes=_kib(files.number(disk / "queue/read_ahead_kb")),
        write_cache=files.read(disk / "queue/write_cache"),
        numa_node=files.number(disk / "device/numa_node"),
        wear=wear(disk.name) if wear and not below else None,
        parts=below,
    )


def _kib(value: int | None) -> int | None:
    return None if value is None else value * 1024


# ---- direct I/O by statx

_AT_EMPTY_PATH = 0x1000
_STATX_DIOALIGN = 0x2000


def _direct_io(folder: Path) -> tuple[int, int] | None:
    """Of an unnamed file in the folder, for statx knows the figure of files only (Linux 6.1 and newer)."""
    statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if statx is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError:
        return None  # a file, no permission, a file system without such files: whatever matters is seen elsewhere
    try:
        buffer = ctypes.create_string_buffer(256)
        if statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, buffer) < 0:
            return None
    finally:
        os.close(descriptor)
    (mask,) = struct.unpack_from("<I", buffer, 0)
    memory, offset = struct.unpack_from("<II", buffer, 152)
    return (memory, offset) if mask & _STATX_DIOALIGN else None
