"""From trials to a point: the median over trials, its spread, and what was left out. The judge and the report share it.

The unit is the trial, never the pooled operations. Only trials that ended as `ok` enter an aggregate.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import attrs

from kvscen.results.measures import OPERATIONS_ABOVE, MeasureInfo

#: A trial of this status had no chance to measure anything.
NOT_RUN = "unavailable"


class Trial(Protocol):
    """What is asked of a trial here; a TrialRecord is one, and so is a row of trials.parquet in the report."""

    @property
    def point_id(self) -> str: ...
    @property
    def trial(self) -> int: ...
    @property
    def status(self) -> Any: ...
    @property
    def reason(self) -> str: ...
    @property
    def measures(self) -> Mapping[str, Any]: ...


_T = TypeVar("_T", bound=Trial)


@attrs.frozen
class Aggregate:
    """A measure over the trials of a point: median, sample standard deviation (None below two trials), number of
    trials.

    `median` is None where a trial lacks the value: a median of those that happen to have it would be of other trials
    than its neighbours. `lacking` is the number of these trials.
    """

    median: float | int | None
    spread: float | None
    n: int
    lacking: int


@attrs.frozen
class Total:
    """A count over trials. `unknown` are the trials that ran and ended badly without leaving the count: then `value` is
    only a lower bound."""

    value: int
    unknown: tuple[int, ...]


def by_point(trials: Iterable[_T]) -> dict[str, list[_T]]:
    """The trials of each point, in the order of their numbers."""
    points: dict[str, list[_T]] = {}
    for trial in trials:
        points.setdefault(trial.point_id, []).append(trial)
    return {point: sorted(group, key=lambda t: t.trial) for point, group in points.items()}


def ok(trials: Iterable[_T]) -> list[_T]:
    return [trial for trial in trials if trial.status == "ok"]


def aggregate(trials: Sequence[Trial], column: str) -> Aggregate:
    """A column's median and spread over the trials that are ok."""
    values = [trial.measures.get(column) for trial in ok(trials)]
    present = [value for value in values if value is not None]
    lacking = len(values) - len(present)
    if not present or lacking:
        return Aggregate(None, None, len(present), lacking)
    spread = statistics.stdev(present) if len(present) > 1 else None
    return Aggregate(statistics.median(present), spread, len(present), 0)


def total(trials: Iterable[Trial], column: str) -> Total:
    """The sum of a count over all trials that ran, whatever became of them."""
    value, unknown = 0, []
    for trial in trials:
        if trial.status == NOT_RUN:
            continue
        count = trial.measures.get(column)
        if count is not None:
            value += int(count)
        elif trial.status not in ("ok", "interrupted"):
            unknown.append(trial.trial)
    return Total(value, tuple(unknown))


def has_count(trials: Iterable[Trial], column: str) -> bool:
    """Whether any trial has this count at all."""
    return any(trial.measures.get(column) is not None for trial in trials)


def why_lacking(trials: Sequence[Trial], info: MeasureInfo) -> str:
    """One phrase: why a measure has no median."""
    good = ok(trials)
    lacking = [trial for trial in good if trial.measures.get(info.column) is None]
    if info.percentile is not None:
        what = info.name.partition("_latency")[0] if info.name.startswith(("batch_", "request_")) else "operation"
        plural = {"batch": "batches"}.get(what, f"{what}s")
        counted = [t.measures.get("operations") for t in lacking]
        known = [int(value) for value in counted if value is not None]
        had = f", and there were {min(known):,}" if known and what == "operation" else ""
        if known and what == "operation" and min(known) >= info.least_operations:
            return f"no trial measured {info.name}" if len(lacking) == len(good) else _some(lacking, good, info)
        return (
            f"fewer than {OPERATIONS_ABOVE} {plural} lie above it in {_of(lacking, good)}: "
            f"it needs {info.least_operations:,} in a trial{had}"
        )
    if info.column == "hit_rate":
        return f"nothing was looked up in {_of(lacking, good)}"
    return _some(lacking, good, info)


def _some(lacking: Sequence[Trial], good: Sequence[Trial], info: MeasureInfo) -> str:
    return f"{info.name} was not measured in {_of(lacking, good)}"


def _of(lacking: Sequence[Trial], good: Sequence[Trial]) -> str:
    if len(lacking) == len(good):
        return "any trial" if len(good) > 1 else "the trial"
    return f"{len(lacking)} of {len(good)} trials"


def left_out(trials: Iterable[Trial]) -> list[tuple[str, int, str]]:
    """(status, how many, reason) of the trials that are not ok; each pair of status and reason once, in their order."""
    found: dict[tuple[str, str], int] = {}
    for trial in trials:
        if trial.status != "ok":
            key = (str(trial.status), trial.reason)
            found[key] = found.get(key, 0) + 1
    return [(status, count, reason) for (status, reason), count in found.items()]
