"""What a plan will cost: bytes, disk space and time, from the scenario alone. Nothing is looked up on the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import attrs

from kvscen.plan.point import Plan, Point, Tier, Work
from kvscen.plan.replay import Replay
from kvscen.plan.seek import most_points
from kvscen.plan.traffic import Traffic
from kvscen.plan.writes import TierWrites, writes
from kvscen.plugin.contract import Driver, Tool
from kvscen.plugin.registry import Registry

#: What laying out and verifying data is reckoned at. No claim about a device: NVMe is faster, a network share may be
#: slower.
ALLOWED_BYTES_PER_S = 500 * 10**6
#: Starting a worker and opening a tier.
ALLOWED_START_NS = 500 * 10**6


@attrs.frozen
class PointCost:
    """What one point will cost.

    `measured_operations` and `measured_bytes` of a trial are known where operations are counted, or where a rate
    limits them (then: at most); of a replay they are its look-ups, each of which is a read or a write; else None, and
    `batch_bytes` says what one batch moves. `layout_bytes` are written before the first trial where they are not
    there yet, `verify_bytes` are moved by verification, `precondition_bytes` are written by preconditioning.
    `load_ns` is trials x (warm-up + window) where the window is a time, and with `until = steady` the whole cap more:
    that is the most; a virtual clock takes no time. `ceiling_ns` is trials x (warm-up + window) again where `ceiling`
    asks for another program beside each trial, which moves about as many bytes as the trial.
    """

    batch_bytes: int
    measured_operations: int | None
    measured_bytes: int | None
    layout_bytes: int
    verify_bytes: int
    precondition_bytes: int
    load_ns: int | None
    ceiling_ns: int | None
    memory_bytes: int
    disk_bytes: int


@attrs.frozen
class PlanCost:
    """What the whole plan will cost. `disk_bytes` is the sum over tiers of the most that one of its points keeps there,
    for points on one tier share a data set. `load_ns` leaves out `uncounted` points, whose trials last as long as their
    operations take; where the plan searches, it is of the points that it runs at most, and so are the others.
    `ceiling_ns` is for the programs beside the trials. `allowance_ns` is for layout, verification,
    preconditioning and the start of workers, reckoned at ALLOWED_BYTES_PER_S.
    `writes` is by tier that keeps its blocks on a disk.

    Of a large plan `points` are those of its points that were looked at; what is the most of any is that of these, and
    sums are reckoned from theirs, but for a `load_ns` and `ceiling_ns` that the plan knows."""

    points: tuple[PointCost, ...]
    disk_bytes: int
    memory_bytes: int
    load_ns: int
    ceiling_ns: int
    allowance_ns: int
    uncounted: int
    writes: tuple[TierWrites, ...] = ()


def plan_cost(plan: Plan, registry: Registry) -> PlanCost:
    looked_at = plan.looked_at
    names = sorted({name for point in looked_at.points for name in _drivers(point.tier)})
    drivers = {name: registry.driver(name) for name in names}
    costs = tuple(point_cost(point, drivers) for point in looked_at.points)
    disk: dict[str, int] = {}
    layout: dict[str, int] = {}
    taken = taken_at_most(looked_at, costs)
    for point, cost in taken:
        disk[point.tier.name] = max(disk.get(point.tier.name, 0), cost.disk_bytes)
        layout[point.tier.name] = max(layout.get(point.tier.name, 0), cost.layout_bytes)
    share = Fraction(len(plan.points), max(1, len(looked_at.points)))
    moved = sum(layout.values()) + int(share * sum(cost.verify_bytes + cost.precondition_bytes for _, cost in taken))
    load_ns = sum(cost.load_ns or 0 for _, cost in taken)
    ceiling_ns = sum(cost.ceiling_ns or 0 for _, cost in taken)
    if plan.large is not None:
        load_ns = int(share * load_ns) if plan.large.load_ns is None else plan.large.load_ns
        ceiling_ns = int(share * ceiling_ns) if plan.large.ceiling_ns is None else plan.large.ceiling_ns
    return PlanCost(
        costs,
        sum(disk.values()),
        max((cost.memory_bytes for _, cost in taken), default=0),
        load_ns,
        ceiling_ns,
        moved * 10**9 // ALLOWED_BYTES_PER_S + ALLOWED_START_NS * len(disk),
        int(share * sum(cost.load_ns is None for _, cost in taken)),
        tuple(each.times(share) for each in writes([point for point, _ in taken], drivers)),
    )


def taken_at_most(plan: Plan, costs: Sequence[PointCost]) -> list[tuple[Point, PointCost]]:
    """The points that a run measures at most, each with its cost: of a search the candidates that cost most."""
    priced = {point.id: cost for point, cost in zip(plan.points, costs, strict=True)}

    def weigh(point: Point) -> tuple[int, ...]:
        cost = priced[point.id]
        moved = cost.verify_bytes + cost.precondition_bytes + point.trials * (cost.measured_bytes or 0)
        return cost.load_ns or 0, moved, cost.layout_bytes + cost.disk_bytes + cost.memory_bytes

    return [(point, priced[point.id]) for point in most_points(plan, weigh)]


def point_cost(point: Point, drivers: Mapping[str, Driver]) -> PointCost:
    cost = _point_cost(point, drivers)
    if point.tier.virtual:  # nothing is laid out, and its time passes at once
        return attrs.evolve(cost, layout_bytes=0, verify_bytes=0, precondition_bytes=0, load_ns=0, ceiling_ns=0)
    return cost


def _point_cost(point: Point, drivers: Mapping[str, Driver]) -> PointCost:
    work = point.work
    operations = work.operations
    if operations is None and work.rate_per_s is not None and work.time_ns is not None:
        operations = int(work.rate_per_s * work.time_ns / 10**9)
    memory = disk = 0
    for tier, own in asked(point.tier, work, drivers):
        footprint = drivers[tier.driver].footprint(tier, own)
        memory += footprint.memory_bytes
        disk += footprint.disk_bytes
    if work.traffic is not None:
        return _traffic_cost(point, work.traffic, memory, disk)
    if work.replay is not None:
        return _replay_cost(point, work.replay, memory, disk)
    is_tool = isinstance(drivers[point.tier.driver], Tool)
    load_ns = ceiling_ns = None
    if work.time_ns is not None:
        ceiling_ns = point.trials * (work.warmup_ns + work.time_ns)
        load_ns = ceiling_ns + point.trials * (work.cap_ns or 0)
    return PointCost(
        batch_bytes=work.batch * work.block_bytes,
        measured_operations=operations,
        measured_bytes=None if operations is None else operations * work.block_bytes,
        # A tool lays out its data within its own trials, and nobody verifies it.
        layout_bytes=0 if is_tool else work.working_set_bytes,
        verify_bytes=0 if is_tool else _passes(point) * work.working_set_bytes,
        precondition_bytes=work.precondition * work.working_set_bytes,
        load_ns=load_ns,
        ceiling_ns=0 if work.ceiling == "none" else ceiling_ns,
        memory_bytes=memory,
        disk_bytes=disk,
    )


def _traffic_cost(point: Point, traffic: Traffic, memory: int, disk: int) -> PointCost:
    """Of ranks that send to each other: a batch is a pass through all steps. Nothing is laid out."""
    work = point.work
    passes = None if work.operations is None else traffic.passes_for(work.operations)
    least_ns = traffic.compute_ns
    load_ns = None
    if work.time_ns is not None:
        load_ns = point.trials * (max(work.warmup_ns, least_ns) * (work.warmup_ns > 0) + max(work.time_ns, least_ns))
    return PointCost(
        batch_bytes=traffic.nbytes,
        measured_operations=None if passes is None else passes * traffic.transfers,
        measured_bytes=None if passes is None else passes * traffic.nbytes,
        layout_bytes=0,
        verify_bytes=traffic.nbytes if work.verify == "full" else 0,
        precondition_bytes=0,
        load_ns=load_ns,
        ceiling_ns=0,
        memory_bytes=memory,
        disk_bytes=disk,
    )


def _replay_cost(point: Point, replay: Replay, memory: int, disk: int) -> PointCost:
    """Verification is a replay too."""
    work = point.work
    moved = replay.operations * work.block_bytes
    return PointCost(
        batch_bytes=moved,
        measured_operations=replay.operations,
        measured_bytes=moved,
        layout_bytes=work.working_set_bytes,
        verify_bytes=moved if work.verify == "full" else 0,
        precondition_bytes=0,
        load_ns=None if replay.lasts_ns is None else point.trials * replay.lasts_ns,
        ceiling_ns=0,
        memory_bytes=memory,
        disk_bytes=disk,
    )


def _passes(point: Point) -> int:
    """How often verification moves the data set: it writes all, (mixed: both) and reads all."""
    if point.work.verify != "full":
        return 0
    return 3 if point.work.op == "mixed" else 2


def asked(tier: Tier, work: Work, drivers: Mapping[str, Driver]) -> Iterable[tuple[Tier, Work]]:
    """A tier and its levels, each with the work that it is asked for."""
    yield tier, work
    for number, level in enumerate(tier.levels):
        yield from asked(level, drivers[tier.driver].level_work(tier, work, number), drivers)


def each_tier(tier: Tier) -> Iterable[Tier]:
    """A tier and its levels, however deep."""
    yield tier
    for level in tier.levels:
        yield from each_tier(level)


def _drivers(tier: Tier) -> Iterable[str]:
    return (each.driver for each in each_tier(tier))
