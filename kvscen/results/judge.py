"""What the scenario expected against what was measured: verdicts, and the run's exit code."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.language.values import Quantity, Value
from kvscen.plan.point import Expectation, Plan, Point
from kvscen.plugin.registry import PluginError, registry
from kvscen.results.aggregate import NOT_RUN, aggregate, by_point, has_count, ok, total, why_lacking
from kvscen.results.measures import TIER_MEASURES, MeasureInfo, driver_measure, measure_named
from kvscen.results.record import TrialRecord

Outcome: TypeAlias = Literal["pass", "fail", "not judged"]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@attrs.frozen
class Verdict:
    """One expectation of one point. `value` and `limit` are in `unit`, the unit of the measure's column."""

    point_id: str
    sweep: str
    expectation: str
    measure: str
    operator: str
    value: float | None
    limit: float | None
    unit: str | None
    outcome: Outcome
    reason: str = ""


@attrs.frozen
class Figure:
    """What a point comes to in one measure, in the unit of its column: the median of the ok trials, of a count the sum
    over all trials that ran. `value` is None where there is none; then `outcome` says what that makes of an
    expectation. `reason` says why, or what the value is. `unknown` are trials that left no count."""

    info: MeasureInfo | None
    value: float | int | None
    outcome: Outcome
    reason: str
    unknown: tuple[int, ...] = ()


def judge(plan: Plan, records: Iterable[TrialRecord]) -> list[Verdict]:
    """Every expectation of every point, in the order of the plan; not of those that a search could do without, and did.

    A measure is judged on the median of the ok trials, a count on the sum over all trials that ran. A point without an
    ok trial fails, unless it is unavailable or the run was interrupted before it: then it is named as not judged.
    """
    trials = by_point(records)
    spared = {candidate.point_id for find in plan.finds for candidate in find.candidates} - set(trials)
    return [
        verdict_of(point, expectation, trials.get(point.id, []))
        for point in plan.points
        if point.id not in spared
        for expectation in point.expectations
    ]


def verdict_of(point: Point, expectation: Expectation, trials: Sequence[TrialRecord]) -> Verdict:
    """One expectation of a point, by the point's trials."""
    figure = figure_of(point, expectation.measure, trials)
    limit = _limit(expectation.value, figure.info)
    outcome, reason = figure.outcome, figure.reason
    if figure.value is not None and limit is not None:
        outcome, reason = _held(figure, figure.value, expectation.operator, limit)
    return Verdict(
        point_id=point.id,
        sweep=point.sweep,
        expectation=expectation.text,
        measure=expectation.measure,
        operator=expectation.operator,
        value=None if figure.value is None else float(figure.value),
        limit=None if limit is None else float(limit),
        unit=figure.info.unit if figure.info else None,
        outcome=outcome,
        reason=reason,
    )


def _held(figure: Figure, value: float | int, operator: str, limit: Fraction) -> tuple[Outcome, str]:
    """What comes of a value that is held against a limit, and why."""
    if not _COMPARE[operator](*_comparable(value, limit)):
        # What a lost trial would add can only help `>=` and `>`, but it was not seen.
        return "fail", figure.reason
    if figure.unknown and operator not in (">=", ">"):
        numbers = ", ".join(map(str, figure.unknown))
        many = len(figure.unknown) > 1
        return "fail", f"trial{'s' if many else ''} {numbers} left no count: the sum is not known"
    return "pass", ""


def figure_of(point: Point, measure: str, trials: Sequence[TrialRecord]) -> Figure:
    """A point's figure in a measure, by its trials."""
    info = measure_named(measure, _own_measures(point.tier.driver))

    def nothing(outcome: Outcome, reason: str) -> Figure:
        return Figure(info, None, outcome, reason)

    ended = [trial for trial in trials if trial.status != "interrupted"]
    if not ended:
        return nothing("not judged", "no trial was measured: the run was interrupted")
    if all(trial.status == NOT_RUN for trial in ended):
        return nothing("not judged", f"unavailable: {ended[-1].reason}")
    if not ok(trials):
        last = next(trial for trial in reversed(ended) if trial.status != NOT_RUN)
        return nothing(
            "fail", f"no trial is ok: {last.status}: {last.reason}" if last.reason else f"no trial is ok: {last.status}"
        )
    if info is None:
        return nothing("fail", f"nothing measures {measure}")
    if "." in measure:
        trials = [_of_tier(trial, measure.rpartition(".")[0]) for trial in trials]
    if info.is_count:
        if not has_count(trials, info.column):
            return nothing("fail", f"{info.name} was not counted in any trial")
        found = total(trials, info.column)
        return Figure(info, found.value, "pass", "sum over the trials that ran", found.unknown)
    median = aggregate(trials, info.column)
    if median.median is None and info.name.startswith("request_") and point.work.request_blocks is None:
        return nothing("fail", "the requests of a batch share blocks (sizing = kvbench): none has a latency of its own")
    if median.median is None:
        return nothing("fail", why_lacking(trials, info))
    return Figure(info, median.median, "pass", f"median of {median.n} trials" if median.n > 1 else "one trial")


def _own_measures(driver: str) -> tuple[MeasureInfo, ...]:
    try:
        declared = registry().driver(driver).measures
    except PluginError:
        # The driver was removed since the run: its columns cannot be named any more, and the verdict says so.
        return ()
    made = (driver_measure(m.name, m.type, m.unit, m.description) for m in declared)
    return tuple(info for info in made if info is not None)


def _of_tier(trial: TrialRecord, tier: str) -> TrialRecord:
    """The trial with the measures of one tier or level instead of its own."""
    row = next((r for r in trial.tiers if r.get("tier") == tier and r.get("to_tier") is None), {})
    measures = {info.column: row.get(info.column) for info in TIER_MEASURES.values()}
    lookups, hits = row.get("lookups"), row.get("hits")
    if measures["hit_rate"] is None and lookups and hits is not None:
        measures["hit_rate"] = hits / lookups
    return attrs.evolve(trial, measures=measures)


def _limit(value: Value, info: MeasureInfo | None) -> Fraction | None:
    """The limit in the unit of the measure's column."""
    if info is None or not isinstance(value, Quantity):
        return None
    return value.value / info.scale


def _comparable(value: float | int, limit: Fraction) -> tuple[Any, Any]:
    """Whole numbers are compared exactly. A float is compared with the nearest float: 0.7 measured is 70 % expected."""
    return (value, limit) if isinstance(value, int) else (value, float(limit))


def exit_code(records: Iterable[TrialRecord], verdicts: Iterable[Verdict], interrupted: bool) -> int:
    """The exit code of a run that wrote its tables: 130 interrupted; 3 when a trial ended as hang, error, corrupt or
    incomplete; 1 when an expectation failed; else 0."""
    if interrupted:
        return 130
    if any(record.status in ("hang", "error", "corrupt", "incomplete") for record in records):
        return 3
    return 1 if any(verdict.outcome == "fail" for verdict in verdicts) else 0
