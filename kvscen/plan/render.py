"""A plan as JSON, as rows and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.language.values import Quantity, format_value, show_value
from kvscen.plan.columns import Cell, axes, describe, settings
from kvscen.plan.cost import ALLOWED_BYTES_PER_S, PlanCost, PointCost, taken_at_most
from kvscen.plan.large import FIRST_POINTS
from kvscen.plan.point import Expectation, Find, Large, Plan, Point, Skipped, Tier
from kvscen.plan.seek import at_most
from kvscen.plan.show_traffic import steps_tables, traffic_columns, traffic_json
from kvscen.plan.writes import TierWrites
from kvscen.report.numbers import NOTHING, plural, show_one

#: Of plan.json: a run goes on only with the plan that it was begun with.
PLAN_VERSION = 1


def plan_json(plan: Plan) -> dict[str, Any]:
    """Everything that decides what is run, and nothing that depends on the machine: equal plans give equal bytes."""
    return {
        "plan_version": PLAN_VERSION,
        "scenario": plan.scenario,
        "pins": [{"path": path, "value": value} for path, value in plan.pins],
        "points": [_point_json(point) for point in plan.points],
        "skipped": [_skipped_json(point) for point in plan.skipped],
        **({"searches": [_find_json(find) for find in plan.finds]} if plan.finds else {}),
    }


def _find_json(find: Find) -> dict[str, Any]:
    """`points_at_most` of the candidates are run."""
    return {
        "sweep": find.sweep,
        "search": find.text,
        "kind": find.kind,
        "path": find.path,
        "others": {path: format_value(value) for path, value in find.others.items()},
        "conditions": [_expectation_json(condition) for condition in find.conditions],
        "measure": find.measure,
        "share": float(find.share) if find.measure else None,
        "points_at_most": at_most(find),
        "candidates": [{"point_id": c.point_id, "value": format_value(c.value)} for c in find.candidates],
    }


def _expectation_json(expectation: Expectation) -> dict[str, Any]:
    return {
        "measure": expectation.measure,
        "operator": expectation.operator,
        "value": format_value(expectation.value),
        "text": expectation.text,
    }


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "point_id": point.id,
        "index": point.index,
        "sweep": point.sweep,
        **describe(point),
        "axes": axes(point),
        "settings": settings(point),
        "family": point.model.family if point.model else None,
        "pattern_type": point.pattern.type,
        **({} if point.work.traffic is None else {"traffic": traffic_json(point.work.traffic)}),
        "levels": [_tier_json(level) for level in point.tier.levels],
        "expectations": [_expectation_json(expectation) for expectation in point.expectations],
    }


def _tier_json(tier: Tier) -> dict[str, Any]:
    return {"tier": tier.name, "driver": tier.driver, "levels": [_tier_json(level) for level in tier.levels]}


def _skipped_json(point: Skipped) -> dict[str, Any]:
    shown = {path: format_value(value) for path, value in point.axes.items()}
    return {"point_id": point.id, "sweep": point.sweep, "axes": shown, "skip_when": point.condition}


def priced_json(plan: Plan, cost: PlanCost) -> dict[str, Any]:
    """plan_json with what the plan will cost: what `kvscen plan --format json` prints."""
    shown = plan_json(plan)
    for point, own in zip(shown["points"], cost.points, strict=True):
        point["cost"] = attrs.asdict(own)
    shown["cost"] = attrs.asdict(cost, filter=attrs.filters.exclude("points"))
    for own, written in zip(shown["cost"]["writes"], cost.writes, strict=True):
        own["least_bytes"] = written.least_bytes
    return shown


def rows(plan: Plan, cost: PlanCost) -> Iterator[dict[str, Cell]]:
    """One flat row for each point, then for each skipped one; every row has every column. Those that are `searched_by`
    a search are run as far as it needs them."""
    all_points: tuple[Point | Skipped, ...] = (*plan.points, *plan.skipped)
    paths = list(dict.fromkeys(path for point in all_points for path in point.axes))
    searched = {candidate.point_id: find.text for find in plan.finds for candidate in find.candidates}
    empty: dict[str, Cell] = {}
    for point, own in zip(plan.points, cost.points, strict=True):
        values = axes(point)
        row: dict[str, Cell] = {"point_id": point.id, "sweep": point.sweep, "skipped_by": None}
        row |= {"searched_by": searched.get(point.id), **describe(point)}
        row.update({f"axis.{path}": values.get(path) for path in paths})
        row.update(attrs.asdict(own))
        empty = empty or dict.fromkeys(row)
        yield row
    for dropped in plan.skipped:
        row = {**empty, "point_id": dropped.id, "sweep": dropped.sweep, "skipped_by": dropped.condition}
        row.update({f"axis.{path}": format_value(value) for path, value in dropped.axes.items()})
        yield row


# ---- the terminal


def plan_table(plan: Plan, cost: PlanCost) -> RenderableType:
    """The plan for a person: for each sweep its points and what it skips, then what all of it will cost."""
    if plan.large is not None:
        return _large_table(plan, cost)
    parts: list[RenderableType] = []
    priced = list(zip(plan.points, cost.points, strict=True))
    all_points: tuple[Point | Skipped, ...] = (*plan.points, *plan.skipped)
    for sweep in dict.fromkeys(point.sweep for point in all_points):
        own = [(point, price) for point, price in priced if point.sweep == sweep]
        skipped = [point for point in plan.skipped if point.sweep == sweep]
        finds = [find for find in plan.finds if find.sweep == sweep]
        parts += [*_sweep(plan.scenario, sweep, own, skipped, finds), Text()]
    parts += [Text(line) for line in summary(plan, cost)]
    return Group(*parts)


def _large_table(plan: Plan, cost: PlanCost) -> RenderableType:
    """A large plan: its first points, and what was reckoned from those that were looked at."""
    assert plan.large is not None
    parts: list[RenderableType] = []
    own = [each for each in zip(plan.large.points, cost.points, strict=True) if each[0].index < FIRST_POINTS]
    for sweep in dict.fromkeys(point.sweep for point, _ in own):
        of_sweep = [each for each in own if each[0].sweep == sweep]
        parts += _sweep(plan.scenario, sweep, of_sweep, (), (), f"{plural(len(of_sweep), 'point')} to begin with")
    left = len(plan.points) - len(own)
    parts += [Padding(Text(f"... and {plural(left, 'more point')}", "dim"), (0, 0, 0, 2)), Text()]
    parts += [Text(line) for line in _large_summary(plan, plan.large, cost)]
    return Group(*parts)


def _sweep(
    scenario: str,
    sweep: str,
    points: Sequence[tuple[Point, PointCost]],
    skipped: Sequence[Skipped],
    finds: Sequence[Find],
    count: str = "",
) -> Iterator[RenderableType]:
    trials = {point.trials for point, _ in points}
    each = f", {plural(trials.pop(), 'trial')} each" if len(trials) == 1 else ""
    count = count or plural(len(points), "point")
    yield Text.assemble((scenario, "bold"), "  sweep ", (sweep, "bold"), f"  {count}{each}")
    columns, shared = _columns([point for point, _ in points], [price for _, price in points])
    if shared:
        yield Padding(Text("   ").join(Text.assemble((f"{k} ", "dim"), v) for k, v in shared), (0, 0, 0, 2))
    if points:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
        for header, values in columns.items():
            right = all(value[:1].isdigit() or value == NOTHING for value in values) and header != "point"
            table.add_column(header, justify="right" if right else "left", no_wrap=True)
        for cells in zip(*columns.values(), strict=True):
            table.add_row(*map(Text, cells))
        yield Padding(table, (0, 0, 0, 2))
    yield from steps_tables([point for point, _ in points])
    for dropped in skipped:
        where = ", ".join(f"{path} = {show_value(value)}" for path, value in dropped.axes.items())
        yield Padding(Text(f"skipped {dropped.id}  {where}  when {dropped.condition}", "dim"), (0, 0, 0, 2))
    for find in finds:
        where = ", ".join(f"{path} = {show_value(value)}" for path, value in find.others.items())
        most = f"at most {at_most(find):,} of {plural(len(find.candidates), 'point')}"
        yield Padding(Text(f"{find.text}: {most}" + (f", at {where}" if where else "")), (0, 0, 0, 2))


def _columns(
    points: Sequence[Point], prices: Sequence[PointCost]
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The columns of a sweep's table, and what all its points share."""
    columns: dict[str, list[str]] = {"point": [point.id for point in points]}
    shared: list[tuple[str, str]] = []
    paths = list(dict.fromkeys(path for point in points for path in point.axes))
    for path in paths:
        columns[path] = [show_value(point.axes[path]) if path in point.axes else NOTHING for point in points]
    known = {path.rpartition(".")[2] for path in paths}
    facts: Mapping[str, list[str]] = {
        "tier": [f"{p.tier.name} ({p.tier.driver})" if "tier" not in paths else p.tier.driver for p in points],
        "pattern": [p.pattern.name for p in points],
        "model": [p.model.name if p.model else NOTHING for p in points],
        "op": [p.work.op if p.work.traffic is None else NOTHING for p in points],
        **traffic_columns(points),
        **_replay_columns(points),
        "block": [show_one(None if p.work.traffic else p.work.block_bytes, "B") for p in points],
        "batch": [NOTHING if p.work.traffic or p.work.replay else f"{p.work.batch:,}" for p in points],
        "data set": [show_one(None if p.work.traffic else p.work.working_set_bytes, "B") for p in points],
        "a batch moves": [
            show_one(None if p.work.traffic or p.work.replay else price.batch_bytes, "B")
            for p, price in zip(points, prices, strict=True)
        ],
        "operations a trial": [_operations(p, price) for p, price in zip(points, prices, strict=True)],
    }
    for name, values in facts.items():
        if name == "tier" and "tier" in paths:
            columns["driver"] = values
        elif (
            name in known
            or all(value == NOTHING for value in values)
            or (name == "a batch moves" and values == facts["data set"])
        ):
            continue
        elif len(set(values)) == 1 and len(points) > 1:
            shared.append((name, values[0]))
        else:
            columns[name] = values
    return columns, shared


def _replay_columns(points: Sequence[Point]) -> dict[str, list[str]]:
    found = [point.work.replay for point in points]
    return {
        "requests": [NOTHING if r is None else f"{r.requests:,}" for r in found],
        "look-ups": [NOTHING if r is None else f"{r.lookups:,}" for r in found],
        "users": [NOTHING if r is None or r.users is None else f"{r.users:,}" for r in found],
        "speed": [NOTHING if r is None or r.speed is None else format_value(Quantity(r.speed)) for r in found],
    }


def _operations(point: Point, price: PointCost) -> str:
    if price.measured_operations is None or point.work.replay is not None:
        return NOTHING
    most = "" if point.work.operations is not None else "at most "
    return f"{most}{price.measured_operations:,}"


def summary(plan: Plan, cost: PlanCost) -> Iterable[str]:
    """What all of it will cost, each figure with what it means."""
    taken = taken_at_most(plan, cost.points)
    trials = sum(point.trials for point, _ in taken)
    skipped = f", {len(plan.skipped):,} skipped" if plan.skipped else ""
    if plan.finds:
        yield f"points   {len(plan.points):,}{skipped}, at most {len(taken):,} of them run; {plural(trials, 'trial')}"
        yield "search   what follows is for the costliest points that the searches may take"
    else:
        yield f"points   {len(plan.points):,}{skipped}; {plural(trials, 'trial')}"
    counted = [(p, c) for p, c in taken if c.measured_bytes is not None]
    if counted:
        moved = sum(p.trials * (c.measured_bytes or 0) for p, c in counted)
        only = "" if len(counted) == len(taken) else f" by {plural(len(counted), 'point')} with a known count"
        yield f"moves    {show_one(moved, 'B')} in measured windows{only}"
    if len(counted) < len(taken):
        least = sum(p.trials * c.batch_bytes for p, c in taken)
        one = "a pass through all steps" if all(point.work.traffic for point, _ in taken) else "one batch"
        yield f"moves    at least {show_one(least, 'B')}, {one} in each trial; how much more, the device decides"
    if any(point.work.ceiling != "none" for point in plan.points):
        yield "moves    about as much again by the programs beside the trials (`ceiling`)"
    for written in cost.writes:
        yield f"writes   {_writes(written)}"
    caches = {p.tier.name for p, c in taken if p.tier.levels and c.disk_bytes}
    for name in sorted(caches):
        yield f"writes   what {name} sends down to its levels, which is not known before it runs"
    if cost.disk_bytes:
        yield f"disk     {show_one(cost.disk_bytes, 'B')} at most; points on one tier share a data set"
    if cost.memory_bytes:
        yield f"memory   {show_one(cost.memory_bytes, 'B')} at most, for one point's buffers and data"
    yield f"time     {_time(plan, cost, len(taken))}"


def _large_summary(plan: Plan, large: Large, cost: PlanCost) -> Iterable[str]:
    """Of all points their number and, where it is known, the time; the rest is reckoned from those that were looked
    at."""
    looked_at = list(zip(large.points, cost.points, strict=True))
    skipped = f", {len(plan.skipped):,} skipped" if plan.skipped else ""
    yield f"points   {len(plan.points):,}{skipped}; {plural(large.trials, 'trial')}"
    yield f"looked   at {plural(len(looked_at), 'point')}, values of every axis among them: sums are reckoned"
    counted = [(p, c) for p, c in looked_at if c.measured_bytes is not None]
    share = len(plan.points) / len(looked_at)
    if counted:
        moved = int(share * sum(p.trials * (c.measured_bytes or 0) for p, c in counted))
        yield f"moves    about {show_one(moved, 'B')} in measured windows"
    if len(counted) < len(looked_at):
        least = int(share * sum(p.trials * c.batch_bytes for p, c in looked_at))
        yield f"moves    about {show_one(least, 'B')} at least, a batch a trial; how much more, the device decides"
    for written in cost.writes:
        yield f"writes   about: {_writes(written)}"
    if cost.disk_bytes:
        yield f"disk     {show_one(cost.disk_bytes, 'B')} at most of those; points on one tier share a data set"
    if cost.memory_bytes:
        yield f"memory   {show_one(cost.memory_bytes, 'B')} at most of those, for one point's buffers and data"
    yield f"time     {'' if large.load_ns is not None else 'about: '}{_time(plan.looked_at, cost, len(plan.points))}"


def _writes(written: TierWrites) -> str:
    """What goes to one tier, each part with what it is for."""
    parts = {
        "layout, less what is there": written.layout_bytes,
        "verification": written.verify_bytes,
        "preconditioning": written.precondition_bytes,
        "trials, a batch each" if written.open_ns else "trials": written.trial_bytes,
    }
    shown = ", ".join(f"{show_one(nbytes, 'B')} {name}" for name, nbytes in parts.items() if nbytes)
    text = f"at least {show_one(written.least_bytes, 'B')} to {written.tier} ({shown})"
    if written.open_ns:
        text += f", and what it takes in {_seconds(written.open_ns)} of write load"
        text += f", {show_one(written.open_ns * 2**30 // 10**9, 'B')} at 1 GiB/s"
    if written.again:
        text += "; about as much as in the trials again by the programs beside them (`ceiling`)"
    return text


def _time(plan: Plan, cost: PlanCost, points: int) -> str:
    computed = sum(point.tier.virtual for point in plan.points)
    if computed == len(plan.points):
        return "what it takes to compute: the clock is virtual"
    before = ("layout", "verification") + ("preconditioning",) * any(own.precondition_bytes for own in cost.points)
    layout = (
        f"about {_seconds(cost.allowance_ns)} for {', '.join(before)} and starts "
        f"(reckoned at {ALLOWED_BYTES_PER_S // 10**6} MB/s)"
    )
    if cost.uncounted == points:
        return f"as long as the operations take, and {layout}"
    at_once = f", {plural(computed, 'point')} on a virtual clock" if computed else ""
    open_end = f", {plural(cost.uncounted, 'point')} as long as the operations take" if cost.uncounted else ""
    beside = f", {_seconds(cost.ceiling_ns)} for the programs beside it (`ceiling`)" if cost.ceiling_ns else ""
    if any(point.work.until == "steady" for point in plan.points):
        load = f"at most {_seconds(cost.load_ns)} of load (trials x (warm-up + cap + window))"
    else:
        load = f"{_seconds(cost.load_ns)} of load (trials x (warm-up + window))"
    return f"{load}{open_end}{at_once}{beside}, and {layout}"


def _seconds(time_ns: int) -> str:
    tenths = -(-time_ns // 10**8)
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10} s" if tenths % 10 else f"{tenths // 10} s"
    minutes, seconds = divmod(-(-time_ns // 10**9), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24:,} days"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
