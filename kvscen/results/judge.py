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


def judge(plan: Plan, records: Iterable[TrialRecord]) -> list[Verdict]:
    """Every expectation of every point, in the order of the plan.

    A measure is judged on the median of the ok trials, a count on the sum over all trials that ran. A point without an
    ok trial fails, unless it is unavailable or the run was interrupted before it: then it is named as not judged.
    """
    trials = by_point(records)
    return [
        _judge(point, expectation, trials.get(point.id, []))
        for point in plan.points
        for expectation in point.expectations
    ]


def _judge(point: Point, expectation: Expectation, trials: Sequence[TrialRecord]) -> Verdict:
    info = measure_named(expectation.measure, _own_measures(point.tier.driver))
    limit = _limit(expectation.value, info)

    def verdict(outcome: Outcome, reason: str = "", value: float | int | None = None) -> Verdict:
        return Verdict(
            point_id=point.id,
            sweep=point.sweep,
            expectation=expectation.text,
            measure=expectation.measure,
            operator=expectation.operator,
            value=None if value is None else float(value),
            limit=None if limit is None else float(limit),
            unit=info.unit if info else None,
            outcome=outcome,
            reason=reason,
        )

    ended = [trial for trial in trials if trial.status != "interrupted"]
    if not ended:
        return verdict("not judged", "no trial was measured: the run was interrupted")
    if all(trial.status == NOT_RUN for trial in ended):
        return verdict("not judged", f"unavailable: {ended[-1].reason}")
    if not ok(trials):
        last = next(trial for trial in reversed(ended) if trial.status != NOT_RUN)
        return verdict(
            "fail", f"no trial is ok: {last.status}: {last.reason}" if last.reason else f"no trial is ok: {last.status}"
        )
    if info is None or limit is None:
        return verdict("fail", f"nothing measures {expectation.measure}")
    if "." in expectation.measure:
        trials = [_of_tier(trial, expectation.measure.rpartition(".")[0]) for trial in trials]
    holds = _COMPARE[expectation.operator]
    if info.is_count:
        return _judge_count(verdict, info, expectation.operator, holds, limit, trials)
    found = aggregate(trials, info.column)
    if found.median is None and info.name.startswith("request_") and point.work.request_blocks is None:
        return verdict("fail", "the requests of a batch share blocks (sizing = kvbench): none has a latency of its own")
    if found.median is None:
        return verdict("fail", why_lacking(trials, info))
    if holds(*_comparable(found.median, limit)):
        return verdict("pass", value=found.median)
    return verdict("fail", f"median of {found.n} trials" if found.n > 1 else "one trial", found.median)


def _judge_count(
    verdict: Callable[..., Verdict],
    info: MeasureInfo,
    symbol: str,
    holds: Callable[[Any, Any], bool],
    limit: Fraction,
    trials: Sequence[TrialRecord],
) -> Verdict:
    if not has_count(trials, info.column):
        return verdict("fail", f"{info.name} was not counted in any trial")
    found = total(trials, info.column)
    if not holds(found.value, limit):
        # What a lost trial would add can only help `>=` and `>`, but it was not seen.
        return verdict("fail", "sum over the trials that ran", found.value)
    if found.unknown and symbol not in (">=", ">"):
        numbers = ", ".join(map(str, found.unknown))
        many = len(found.unknown) > 1
        return verdict("fail", f"trial{'s' if many else ''} {numbers} left no count: the sum is not known", found.value)
    return verdict("pass", value=found.value)


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
