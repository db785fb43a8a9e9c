"""What a sweep's `find` looks for: among which points, in which order, and judged by what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span
from kvscen.language.format import one_line
from kvscen.language.resolve import read_value
from kvscen.language.scenario import ExpectDef, FindDef
from kvscen.language.schema import Share
from kvscen.language.sealed import Unchosen
from kvscen.language.suggest import listed
from kvscen.language.syntax import Expr
from kvscen.language.values import Quantity, format_value, show_value
from kvscen.plan.cost import each_tier
from kvscen.plan.late import Axis, Flat, Late, Trace
from kvscen.plan.point import Candidate, Expectation, Find, Point, Work
from kvscen.plan.replay import Replay
from kvscen.plan.search import Leaf, Said
from kvscen.results.measures import MeasureInfo, driver_measure, measure_named

#: Gives an expectation its value at a point. Raises ScenarioError.
Expecting = Callable[[ExpectDef, Leaf], Expectation]


def searched(late: Late, pairs: Sequence[tuple[Leaf, Point]], expecting: Expecting, said: Said) -> tuple[Find, ...]:
    """The searches of a sweep: one for each combination of the other axes. What is wrong goes to `said`; then, and
    where there is nothing to choose from, there are none. A point that does not reach the axis belongs to no search."""
    find = next((level.find for level in late.flat.levels if level.find is not None), None)
    if find is None:
        return ()
    axis = _axis(late.flat, find, said)
    if axis is None:
        return ()
    key = find.target.key
    groups: dict[tuple[tuple[str, str], ...], list[tuple[Leaf, Point]]] = {}
    for leaf, point in pairs:
        if key in point.axes:
            others = tuple((path, format_value(v)) for path, v in point.axes.items() if path not in axis.keys)
            groups.setdefault(others, []).append((leaf, point))
    finds = []
    for others, group in groups.items():
        try:
            finds.append(_search(late, find, axis, group, expecting))
        except ScenarioError as error:
            where = ", ".join(f"{path} = {value}" for path, value in others)
            said.say(error.diagnostics, f"at {where}" if where else "")
    return tuple(finds)


def _axis(flat: Flat, find: FindDef, said: Said) -> Axis | None:
    """The axis that is searched; None where there is none, which is said."""
    key, path = find.target.key, find.path_span.text
    if key not in flat.axis_of:
        varied = any(key in axis.keys for level in flat.levels for axis in level.axes)
        given = flat.fixed.get(key) or flat.pins.get(key)
        if not varied and given is None:
            axes = [key for axis in flat.axes for key in axis.keys]
            said.say([_no_axis(path, axes, find.path_span)])
        else:
            said.say([_no_choice(path, "has one value here", find.path_span)])
        return None
    number, column = flat.axis_of[key]
    axis = flat.axes[number]
    if len(axis.rows) == 1:
        said.say([_no_choice(path, "has one value", find.path_span)])
        return None
    for row, span in zip(axis.rows, axis.row_spans, strict=True):
        if not isinstance(row[column].value, Quantity):
            what = format_value(row[column].value)
            said.say(
                [
                    diagnostic(
                        "KVS129",
                        f"`{path}` is searched from its lowest value to its highest, and `{what}` is no number",
                        span,
                        help="search an axis of numbers; `find` looks at each value of the other axes by itself",
                    )
                ]
            )
            return None
    return axis


def _no_axis(path: str, axes: Sequence[str], span: Span) -> Diagnostic:
    known = f"the sweep varies {listed(axes)}" if axes else "the sweep varies nothing yet"
    return diagnostic(
        "KVS127",
        f"`{path}` is searched, and the sweep does not vary it",
        span,
        help=f"{known}: add the values to choose from, `{path} in [...]`",
    )


def _no_choice(path: str, why: str, span: Span) -> Diagnostic:
    return diagnostic(
        "KVS128",
        f"`{path}` {why}: nothing is searched, and all points are run",
        span,
        help="give the axis more values, or take the `find` out",
    )


def _search(late: Late, find: FindDef, axis: Axis, group: Sequence[tuple[Leaf, Point]], expecting: Expecting) -> Find:
    """The search of one combination of the other axes. Raises ScenarioError."""
    key = find.target.key
    ordered = sorted(group, key=lambda pair: _quantity(pair[1], key).value)
    for (_, before), (_, point) in pairwise(ordered):
        if _quantity(before, key) == _quantity(point, key):
            raise problem(
                "KVS129",
                f"two rows of the axis have `{key} = {format_value(point.axes[key])}`, and neither is the higher one",
                find.path_span,
                help=f"give each row a `{key}` of its own, or vary the others on an axis of theirs",
            )
    for _, point in ordered:
        _check_judged(late, find, point)
    return Find(
        sweep=late.flat.sweep.name,
        kind=find.kind,
        path=key,
        candidates=tuple(Candidate(point.id, _quantity(point, key)) for _, point in ordered),
        text=one_line(find.span.text),
        others={path: value for path, value in group[0][1].axes.items() if path not in axis.keys},
        conditions=_conditions(find, ordered, expecting),
        measure=find.measure,
        **({} if find.share is None else {"share": _share(late, find, find.share, group[0][0])}),
    )


def _quantity(point: Point, key: str) -> Quantity:
    value = point.axes[key]
    assert isinstance(value, Quantity), "looked at with the axis"
    return value


def _conditions(find: FindDef, ordered: Sequence[tuple[Leaf, Point]], expecting: Expecting) -> tuple[Expectation, ...]:
    """The conditions, which are the same for all candidates. Raises ScenarioError where they are not."""
    first, *others = ordered
    conditions = tuple(expecting(expect, first[0]) for expect in find.conditions)
    for leaf, _ in others:
        for expect, condition in zip(find.conditions, conditions, strict=True):
            if expecting(expect, leaf) != condition:
                raise problem(
                    "KVS120",
                    f"this value follows `{find.target.key}`, which is searched",
                    expect.value.span,
                    help="hold the candidates of a search against one value",
                )
    return conditions


def _share(late: Late, find: FindDef, share: Expr, leaf: Leaf) -> Fraction:
    try:
        found: Fraction = read_value(share, Share(), late.names(leaf.choice, Trace())).python
        return found
    except Unchosen:
        raise problem(
            "KVS120", "this share follows an axis", share.span, help="give it a value that does not vary"
        ) from None


# ---- what can be judged


def _check_judged(late: Late, find: FindDef, point: Point) -> None:
    """Raises ScenarioError where a measure that the search asks for can have no value at a candidate: such a candidate
    would count as one that does not keep the conditions, and the answer would be wrong."""
    asked = [(expect.measure, expect.info, expect.span) for expect in find.conditions]
    if find.measure is not None and find.info is not None:
        asked.append((find.measure, find.info, find.span))
    for measure, info, span in asked:
        if _is_foreign(late, measure, point):
            raise problem(
                "KVS405",
                f"no point that is searched has the measure `{measure}`",
                span,
                help=f"judge by a measure of the tier `{point.tier.name}`, which is searched",
            )
        had = operations_of(info, point.work)
        if had is not None and had < info.least_operations:
            at = show_value(point.axes[find.target.key])
            raise problem(
                "KVS405",
                f"`{measure}` needs {info.least_operations:,} {counted(info)} in a trial, "
                f"and at `{find.target.key} = {at}` there are {int(had):,}",
                span,
                help=f"{longer(info, had, point.work)}, or judge by a lower percentile: a point without the measure "
                "would count as one that does not keep it",
            )


def longer(info: MeasureInfo, had: Fraction, work: Work) -> str:
    """How the trials come to have enough operations."""
    if not had or work.time_ns is None:
        return "make the trials longer"
    seconds = -(-info.least_operations * work.time_ns // had // 10**9)
    return f"make the trials longer, `time = {seconds} s`"


def _is_foreign(late: Late, measure: str, point: Point) -> bool:
    tier, dot, _ = measure.rpartition(".")
    if dot:
        return tier not in {each.name for each in each_tier(point.tier)}
    own = late.scenario.drivers[point.tier.driver].measures
    made = (driver_measure(m.name, m.type, m.unit, m.description) for m in own)
    return measure_named(measure, [info for info in made if info is not None]) is None


def counted(info: MeasureInfo) -> str:
    """What a measure is of, in the plural."""
    return {"batch": "batches", "request": "requests"}.get(info.name.partition("_")[0], "operations")


def operations_of(info: MeasureInfo, work: Work) -> Fraction | None:
    """How many of what the measure is of there will be in a trial, where the scenario tells."""
    if work.traffic is not None:
        return None
    if work.replay is not None:
        return _of_replay(info, work.replay)
    if work.operations is not None:
        operations = Fraction(work.operations)
    elif work.rate_per_s is not None and work.time_ns is not None:
        operations = work.rate_per_s * work.time_ns / 10**9
    else:
        return None
    match info.name.partition("_")[0]:
        case "read":
            return operations * work.read_share
        case "write":
            return operations * (1 - work.read_share)
        case "batch":
            return operations / work.batch
        case "request":
            return operations * work.requests / work.batch
        case _:
            return operations


def _of_replay(info: MeasureInfo, replay: Replay) -> Fraction | None:
    match info.name.partition("_")[0]:
        case "request":
            return Fraction(replay.requests)
        case "latency" | "service" | "delay":
            return Fraction(replay.operations)
        case _:
            return None  # how many of them read or write, a cache decides
