"""Checks of the disks under the paths."""

from __future__ import annotations

from kvscen.doctor.case import Disk
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.report.numbers import show_one

#: What one quiet system does by itself (logs, timers) stays below.
_QUIET_BYTES_PER_S = 1 << 20
_QUIET_OPERATIONS_PER_S = 20
_OLD_PERCENT = 80
#: Names of devices that a hypervisor makes up, by the start of the disk's name, and by what they call themselves.
_VIRTUAL_NAMES = {"vd": "virtio", "xvd": "Xen"}
_VIRTUAL_MODELS = (
    "QEMU", "VBOX", "VMware", "Virtual Disk", "Virtual disk", "Msft", "Amazon Elastic Block Store",
    "Amazon EC2 NVMe Instance Storage", "PersistentDisk", "nvme_card", "MSFT NVMe", "Alibaba Cloud", "Google",
)  # fmt: skip


def virtual_disk(disk: Disk) -> Finding | None:
    kind = next((kind for start, kind in _VIRTUAL_NAMES.items() if disk.device.disk.startswith(start)), None)
    model = disk.device.model or ""
    if kind is None and any(name in f"{model} {disk.device.vendor or ''}" for name in _VIRTUAL_MODELS):
        kind = model
    if kind is None:
        return ok("no") if not disk.facts.host.virtual else None
    return note(
        f"a {kind} disk of the host's" if kind in _VIRTUAL_NAMES.values() else f"{kind}, a disk of the cloud's",
        "the host may answer from its own memory, which cannot be seen from here, and may limit the rate",
        "use a `working_set` of more than the host could keep, run for long, and say what disk it is",
    )


def device_kind(disk: Disk) -> Finding | None:
    if disk.device.disk.startswith("loop"):
        return problem(
            "a file that is mounted as a device (loop)",
            "below the device is another file system with its page cache",
            "use the device itself, or make the loop device direct",
            f"sudo losetup --direct-io=on /dev/{disk.device.disk}",
        )
    if disk.device.disk.startswith(("ram", "zram", "pmem")):
        return problem("it is memory", "no device takes part", "choose a folder on the device that is to be measured")
    if disk.device.rotational is None:
        return None
    if disk.device.rotational and not disk.device.disk.startswith(tuple(_VIRTUAL_NAMES)):
        return note(
            "rotating",
            "figures depend on where on the disk the file lies",
            "keep to one file, and to the start of the disk",
        )
    size = f", {show_one(disk.device.size_bytes, 'B')}" if disk.device.size_bytes else ""
    return ok(f"{'says that it rotates' if disk.device.rotational else 'solid state'}{size}")


def scheduler(disk: Disk) -> Finding | None:
    name = disk.device.scheduler
    if name is None:
        return None
    if name == "none" or (disk.device.rotational and not disk.device.disk.startswith(tuple(_VIRTUAL_NAMES))):
        return ok(name)
    return (problem if name == "bfq" else note)(
        name,
        "it sorts and holds back operations of a device that needs neither: CPU time, and latency at small blocks",
        "use none",
        f"echo none | sudo tee /sys/block/{disk.device.disk}/queue/scheduler",
    )


def write_cache(disk: Disk) -> Finding | None:
    mode = disk.device.write_cache
    if mode is None:
        return None
    if mode != "write back":
        return ok(mode)
    return note(
        mode,
        "a write ends when it is in the device's cache: bursts are faster than what the device can keep up",
        "measure writes for longer than the cache lasts (`until = steady`), and durable ones with `durability`",
    )


def device_traffic(disk: Disk) -> Finding | None:
    traffic = disk.facts.idle.devices.get(disk.device.disk)
    if traffic is None:
        return None
    found = (
        f"{traffic.operations_per_s:,.0f} operations/s, {show_one(traffic.read_bytes_per_s, 'B/s')} read, "
        f"{show_one(traffic.write_bytes_per_s, 'B/s')} written by others"
    )
    moved = traffic.read_bytes_per_s + traffic.write_bytes_per_s
    if moved < _QUIET_BYTES_PER_S and traffic.operations_per_s < _QUIET_OPERATIONS_PER_S:
        return ok("idle" if not traffic.operations_per_s else found)
    return problem(
        found,
        "others use the device: their operations delay ours, and its counters cannot prove where our bytes came from",
        "find and stop them, or use a device of your own",
        "sudo iotop -o -b -n 3",
    )


def wear(disk: Disk) -> Finding | None:
    found = disk.device.wear
    if found is None or found.problem is not None:
        return None
    said = [
        f"{found.used_percent} % of its life used" if found.used_percent is not None else "",
        f"{show_decimal(found.written_bytes)} written so far" if found.written_bytes is not None else "",
        f"{found.media_errors} media errors" if found.media_errors else "",
        "it warns of its own failure" if found.warning else "",
    ]
    text = ", ".join(part for part in said if part) or "no warning"
    if found.warning or found.media_errors:
        return problem(
            f"{text} ({found.source})",
            "a device that corrects or reallocates blocks is slow where it does",
            "save its data and replace it",
            f"sudo smartctl -a /dev/{disk.device.disk}",
        )
    if found.used_percent is not None and found.used_percent >= _OLD_PERCENT:
        return note(
            f"{text} ({found.source})",
            "worn flash is read and written with more retries, and slower",
            "say so beside the figures; `kvscen plan --here` tells what a sweep will write",
        )
    return ok(f"{text} ({found.source})")


def show_decimal(nbytes: int) -> str:
    """Bytes as data sheets of devices count them, in powers of 1000."""
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} PB"


CHECKS = (virtual_disk, device_kind, scheduler, write_cache, device_traffic, wear)
