"""What the machine does while nobody measures: processors and block devices over a short time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import attrs

from kvscen.facts.files import Files

SAMPLE_S = 0.3
#: Sectors in a device's `stat` are of 512 bytes whatever the device's are (Documentation/block/stat.rst).
_SECTOR_BYTES = 512


@attrs.frozen
class Traffic:
    """What a block device did: operations and bytes per second."""

    operations_per_s: float
    read_bytes_per_s: float
    write_bytes_per_s: float


@attrs.frozen
class Sample:
    """`busy_cpus` is how many processors' time others used, `steal_share` the part of all time that the hypervisor gave
    to other machines. `devices` is by the name of the disk."""

    seconds: float = 0.0
    busy_cpus: float | None = None
    steal_share: float | None = None
    devices: Mapping[str, Traffic] = attrs.field(factory=dict)


@attrs.frozen
class _Reading:
    at: float
    cpu: tuple[int, ...]
    cpus: int
    devices: Mapping[str, tuple[int, int, int]]


def sample(
    files: Files,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    seconds: float = SAMPLE_S,
) -> Sample:
    """Two readings with a pause between them, in which this process does nothing."""
    before = _read(files, clock())
    wait(seconds)
    after = _read(files, clock())
    passed = after.at - before.at
    if passed <= 0:
        return Sample()
    busy = steal = None
    ticks = [new - old for old, new in zip(before.cpu, after.cpu, strict=False)]
    # user nice system idle iowait irq softirq steal (guest and guest_nice are in user and nice already)
    if len(ticks) >= 8 and sum(ticks[:8]) > 0:
        total = sum(ticks[:8])
        busy = (total - ticks[3] - ticks[4] - ticks[7]) / total * after.cpus
        steal = ticks[7] / total
    devices = {
        name: Traffic(*(max(0, new - old) / passed for old, new in zip(before.devices[name], now, strict=True)))
        for name, now in after.devices.items()
        if name in before.devices
    }
    return Sample(passed, busy, steal, devices)


def _read(files: Files, at: float) -> _Reading:
    lines = files.lines("/proc/stat")
    words = lines[0].split()[1:] if lines and lines[0].startswith("cpu ") else []
    devices = {}
    for disk in files.found("/sys/block", "*"):
        counts = (files.read(disk / "stat") or "").split()
        if len(counts) >= 7 and all(count.isdigit() for count in counts[:7]):
            reads, _, read_sectors, _, writes, _, written_sectors = map(int, counts[:7])
            if reads or writes:  # not the many loop devices that nobody has used
                devices[disk.name] = (reads + writes, read_sectors * _SECTOR_BYTES, written_sectors * _SECTOR_BYTES)
    cpus = sum(line.startswith("cpu") for line in lines[1:])
    return _Reading(at, tuple(int(word) for word in words if word.isdigit()), cpus, devices)
