"""The bytes that a plan will write to disks, as far as its text tells: solid-state devices wear.

Known are laying out, verification and preconditioning, and of the trials the operations that are counted or that a rate
brings. How much a closed loop writes in a time the device decides: at least a batch in each trial, and so many bytes
for each byte per second that it can take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import attrs

from kvscen.plan.point import Point
from kvscen.plugin.contract import Driver, Tool


@attrs.frozen
class TierWrites:
    """What is written to one tier that keeps its blocks on a disk, in bytes of blocks: padding comes on top.

    `layout_bytes` are written once, less what is there already. `trial_bytes` are those of the trials that are known;
    of mixed operations their share of writes. `open_ns` is how long closed loops write beyond that, by the clock;
    `again` is whether another program beside the trials (`ceiling`) writes about as much as they do.
    """

    tier: str
    layout_bytes: int
    verify_bytes: int
    precondition_bytes: int
    trial_bytes: int
    open_ns: int
    again: bool

    @property
    def least_bytes(self) -> int:
        """What is written at least, to a folder that is empty yet."""
        return self.layout_bytes + self.verify_bytes + self.precondition_bytes + self.trial_bytes

    def times(self, share: Fraction) -> TierWrites:
        """Of so many times as many points; they share the layout."""
        return attrs.evolve(
            self,
            verify_bytes=int(share * self.verify_bytes),
            precondition_bytes=int(share * self.precondition_bytes),
            trial_bytes=int(share * self.trial_bytes),
            open_ns=int(share * self.open_ns),
        )


def writes(points: Iterable[Point], drivers: Mapping[str, Driver]) -> tuple[TierWrites, ...]:
    """For each tier with a footprint of its own on a disk. What a cache sends down to such a tier is not known."""
    found: dict[str, TierWrites] = {}
    for point in points:
        tier = point.tier
        kept = drivers[tier.driver].footprint(tier, point.work).disk_bytes
        if not kept:
            continue
        own = _of_tool(point, kept) if isinstance(drivers[tier.driver], Tool) else _of_point(point)
        before = found.get(tier.name)
        found[tier.name] = own if before is None else _together(before, own)
    return tuple(found.values())


def _of_point(point: Point) -> TierWrites:
    work, size = point.work, point.work.working_set_bytes
    share = 1 - work.read_share
    mixed = work.op == "mixed" and work.replay is None
    operations, open_ns = _operations(point)
    return TierWrites(
        tier=point.tier.name,
        layout_bytes=size,
        # Verification of a replay writes each block once; another one writes all, then (mixed) runs the pattern's own
        # operations, then reads all.
        verify_bytes=0 if work.verify == "off" else size + (int(size * share) if mixed else 0),
        precondition_bytes=work.precondition * size,
        trial_bytes=point.trials * int(operations * share * work.block_bytes),
        open_ns=point.trials * open_ns if share else 0,
        again=work.ceiling != "none" and share > 0,
    )


def _of_tool(point: Point, kept_bytes: int) -> TierWrites:
    """A tool lays out its data by itself, anew in each trial, and the core verifies nothing."""
    operations, open_ns = _operations(point)
    moved = int(operations * (1 - point.work.read_share) * point.work.block_bytes)
    open_ns = open_ns if point.work.read_share < 1 else 0
    return TierWrites(point.tier.name, 0, 0, 0, point.trials * (kept_bytes + moved), point.trials * open_ns, False)


def _operations(point: Point) -> tuple[Fraction, int]:
    """(operations of a trial that are known, how long it goes on with more, in ns)."""
    work = point.work
    if work.replay is not None:
        return Fraction(work.replay.operations), 0
    if work.operations is not None:
        return Fraction(work.operations), work.warmup_ns
    longest_ns = work.warmup_ns + (work.cap_ns or 0) + (work.time_ns or 0)
    if work.rate_per_s is not None:
        return work.rate_per_s * longest_ns / 10**9, 0
    return Fraction(work.batch), longest_ns


def _together(one: TierWrites, other: TierWrites) -> TierWrites:
    """Two points on one tier: they share a layout."""
    return TierWrites(
        one.tier,
        max(one.layout_bytes, other.layout_bytes),
        one.verify_bytes + other.verify_bytes,
        one.precondition_bytes + other.precondition_bytes,
        one.trial_bytes + other.trial_bytes,
        one.open_ns + other.open_ns,
        one.again or other.again,
    )
