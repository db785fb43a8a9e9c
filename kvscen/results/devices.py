"""What lies under a path: mount, file system, block device."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import attrs


def read(path: Path) -> str | None:
    """The text of a file of /proc or /sys without its end, or None where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except (OSError, ValueError):
        return None


def read_int(path: Path) -> int | None:
    """The whole number in a file of /proc or /sys, or None."""
    text = read(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None


@attrs.frozen
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    device: str
    type: str
    source: str
    options: str


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


def file_system(path: str) -> dict[str, Any]:
    """The file system and device under a path; where the path does not exist yet, under its nearest parent.

    Raises OSError. May block as long as the file system does.
    """
    real = Path(os.path.realpath(path))
    while not real.exists() and real != real.parent:
        real = real.parent
    mount = mount_of(str(real), mounts(read(Path("/proc/self/mountinfo")) or ""))
    space = os.statvfs(real)
    described: dict[str, Any] = {
        "real_path": os.path.realpath(path),
        "mount_point": mount.point if mount else None,
        "type": mount.type if mount else None,
        "source": mount.source if mount else None,
        "options": mount.options if mount else None,
        "total_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bavail * space.f_frsize,
        "block_bytes": space.f_bsize,
    }
    device = _sys_of(real.stat().st_dev, mount)
    return described | {"device": block_device(device) if device else None}


def _sys_of(number: int, mount: Mount | None) -> Path | None:
    """The folder in /sys of the device with this number, or, where a file system has numbers of its own, of its
    source."""
    direct = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if direct.exists():
        return direct.resolve()
    if mount and mount.source.startswith("/dev/"):
        named = Path("/sys/class/block") / Path(os.path.realpath(mount.source)).name
        return named.resolve() if named.exists() else None
    return None


def block_device(device: Path) -> dict[str, Any]:
    """A block device from its folder in /sys. `parts` are the devices below a composed one (LVM, RAID, dm-crypt)."""
    disk = device if (device / "queue").exists() else device.parent
    scheduler = read(disk / "queue/scheduler")
    size = read_int(device / "size")
    return {
        "name": device.name,
        "disk": disk.name,
        "model": read(disk / "device/model") or read(disk / "device/vendor") or read(disk / "dm/name"),
        "firmware": read(disk / "device/firmware_rev") or read(disk / "device/rev"),
        "size_bytes": size * 512 if size is not None else None,
        "rotational": _flag(read_int(disk / "queue/rotational")),
        "scheduler": scheduler.partition("[")[2].partition("]")[0] if scheduler and "[" in scheduler else scheduler,
        "logical_block_bytes": read_int(disk / "queue/logical_block_size"),
        "physical_block_bytes": read_int(disk / "queue/physical_block_size"),
        "requests": read_int(disk / "queue/nr_requests"),
        "largest_request_bytes": _kib(read_int(disk / "queue/max_sectors_kb")),
        "read_ahead_bytes": _kib(read_int(disk / "queue/read_ahead_kb")),
        "write_cache": read(disk / "queue/write_cache"),
        "numa_node": read_int(disk / "device/numa_node"),
        "parts": [block_device(part.resolve()) for part in sorted((disk / "slaves").glob("*"))],
    }


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _kib(value: int | None) -> int | None:
    return None if value is None else value * 1024
