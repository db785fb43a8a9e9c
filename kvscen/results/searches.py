"""What the searches of a run came to: judged by the trials, and as rows of the tables.

A candidate counts as measured when all its trials have ended. It keeps the conditions of its search when every trial is
ok and each condition holds as an `expect` would: a rate at which one trial of five hung is none that a tier keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.language.values import Value, show_value
from kvscen.plan.columns import typed
from kvscen.plan.point import Candidate, Find, Plan, Point
from kvscen.plan.seek import Answer, Seen, answer, at_most, strays
from kvscen.report.numbers import show_one
from kvscen.results.aggregate import NOT_RUN, by_point
from kvscen.results.judge import Verdict, figure_of, verdict_of
from kvscen.results.points import unit_of
from kvscen.results.record import TrialRecord

#: So many times as good may the figure of a harder candidate be, by chance, as that of an easier one that failed.
MOST_BETTER = 1.25

#: What became of a candidate. `kept` and `not_kept`: the conditions; `measured` and `not_measured`: the measure whose
#: saturation is looked for; `not_needed`: the search came to its end without it; `open`: the search is not at its end.
CandidateStatus: TypeAlias = Literal["kept", "not_kept", "measured", "not_measured", "not_needed", "open"]


@attrs.frozen
class Judged:
    """A candidate that was measured. `figures` has one for each condition, or the one of the measure whose saturation
    is looked for. `reason` says why it does not count, or what must be known of it."""

    seen: Seen
    figures: tuple[Verdict, ...]
    unavailable: bool
    reason: str


@attrs.frozen
class Searched:
    """A search and what it came to; `judged` is by the candidate's index. `reason` says what must be known of it."""

    find: Find
    answer: Answer
    judged: Mapping[int, Judged]
    reason: str


def judge_candidate(find: Find, point: Point, trials: Sequence[TrialRecord]) -> Judged | None:
    """What is known of a candidate by its trials; None where one of them is still to come."""
    ended = [trial for trial in trials if trial.status != "interrupted"]
    if len({trial.trial for trial in ended}) < point.trials:
        return None
    lost = [trial for trial in ended if trial.status != "ok"]
    why = f"{len(lost)} of {point.trials} trials {lost[0].status}: {lost[0].reason}" if lost else ""
    if find.measure is not None:
        figure = figure_of(point, find.measure, trials)
        unit = figure.info.unit if figure.info else None
        text, value = find.text, None if figure.value is None else float(figure.value)
        row = Verdict(point.id, find.sweep, text, find.measure, "", value, None, unit, figure.outcome, figure.reason)
        counted = None if lost else figure.value
        reason = why or ("" if figure.value is not None else figure.reason)
        return Judged(Seen(counted is not None, counted), (row,), _unavailable(ended), reason)
    verdicts = tuple(verdict_of(point, condition, trials) for condition in find.conditions)
    missed = next((v.reason for v in verdicts if v.outcome != "pass" and v.value is None), "")
    keeps = not lost and all(verdict.outcome == "pass" for verdict in verdicts)
    return Judged(Seen(keeps, None), verdicts, _unavailable(ended), why or missed)


def _unavailable(trials: Iterable[TrialRecord]) -> bool:
    return all(trial.status == NOT_RUN for trial in trials)


def searched(plan: Plan, records: Iterable[TrialRecord]) -> list[Searched]:
    """Every search of the plan, in its order."""
    trials = by_point(records)
    points = {point.id: point for point in plan.points}
    return [_searched(find, points, trials) for find in plan.finds]


def _searched(find: Find, points: Mapping[str, Point], trials: Mapping[str, Sequence[TrialRecord]]) -> Searched:
    judged: dict[int, Judged] = {}
    for index, candidate in enumerate(find.candidates):
        found = judge_candidate(find, points[candidate.point_id], trials.get(candidate.point_id, ()))
        if found is not None:
            judged[index] = found
    seen = {index: one.seen for index, one in judged.items()}
    result = answer(find, seen)
    if result.outcome == "none" and all(one.unavailable for one in judged.values()):
        return Searched(find, Answer("not_judged"), judged, next(iter(judged.values())).reason)
    against = [show_value(find.candidates[index].value) for index in strays(find, seen)]
    if against:
        reason = f"what was measured at {', '.join(against)} speaks against it: the condition changes more than once"
        return Searched(find, result, judged, reason)
    return Searched(find, result, judged, _doubt(find, judged))


def _doubt(find: Find, judged: Mapping[int, Judged]) -> str:
    """What makes the answer doubtful: a candidate that fails a condition, and a harder one that did much better in it.
    Both lie beyond the border, so the search met no contradiction; but not only the axis moved the figures."""
    found: list[tuple[float, str]] = []
    ranks = sorted(judged, reverse=find.kind == "lowest")
    for number, condition in enumerate(find.conditions):
        if condition.operator in ("==", "!="):
            continue
        for easy, hard in combinations(ranks, 2):
            one, other = (judged[index].figures[number] for index in (easy, hard))
            if one.outcome != "fail" or not one.value or not other.value:
                continue
            better = one.value / other.value if condition.operator in ("<", "<=") else other.value / one.value
            if better > MOST_BETTER:
                at = [show_value(find.candidates[index].value) for index in (easy, hard)]
                shown = [show_one(figure.value, figure.unit) for figure in (one, other)]
                found.append((better, f"{condition.measure} was {shown[0]} at {at[0]} and {shown[1]} at {at[1]}"))
    if not found:
        return ""
    return f"doubtful: {max(found)[1]}: the machine changed meanwhile, or more than the axis decides"


# ---- rows of the tables


def search_row(one: Searched) -> dict[str, Any]:
    """A row of searches.parquet, without the run."""
    find = one.find
    found, beside = (_at(one, index) for index in (one.answer.found, one.answer.next))
    figures = [f for judged in one.judged.values() for f in judged.figures[:1]]
    return {
        "sweep": find.sweep,
        "search": find.text,
        "others": label(find.others),
        "kind": find.kind,
        "path": find.path,
        "outcome": one.answer.outcome,
        **{name: found.get(name) for name in ("value", "value_text", "point_id", "measured")},
        **{f"next_{name}": beside.get(name) for name in ("value", "value_text", "point_id", "measured")},
        "unit": unit_of(find.candidates[0].value),
        "measure": find.measure or find.conditions[0].measure,
        "measure_unit": figures[0].unit if figures else None,
        "candidates": len(find.candidates),
        "candidates_measured": len(one.judged),
        "candidates_at_most": at_most(find),
        "reason": one.reason,
    }


def _at(one: Searched, index: int | None) -> dict[str, Any]:
    if index is None:
        return {}
    return {**_place(one.find.candidates[index]), "measured": one.judged[index].figures[0].value}


def _place(candidate: Candidate) -> dict[str, Any]:
    value = candidate.value
    return {"point_id": candidate.point_id, "value": typed(value), "value_text": show_value(value)}


def candidate_rows(one: Searched) -> Iterable[dict[str, Any]]:
    """Rows of candidates.parquet, without the run: for each candidate one of each condition."""
    find = one.find
    wanted: list[tuple[str | None, str]] = [(c.measure, c.text) for c in find.conditions]
    wanted = wanted or [(find.measure, find.text)]
    for index, candidate in enumerate(find.candidates):
        judged = one.judged.get(index)
        row = {
            "sweep": find.sweep,
            "search": find.text,
            "others": label(find.others),
            "path": find.path,
            **_place(candidate),
            "unit": unit_of(candidate.value),
            "status": _status(one, judged),
            "reason": judged.reason if judged else "",
        }
        for number, (measure, condition) in enumerate(wanted):
            figure = judged.figures[number] if judged else None
            yield {
                **row,
                "measure": measure,
                "condition": condition,
                "measured": figure.value if figure else None,
                "limit": figure.limit if figure else None,
                "measure_unit": figure.unit if figure else None,
                "outcome": figure.outcome if figure and find.conditions else None,
            }


def _status(one: Searched, judged: Judged | None) -> CandidateStatus:
    if judged is None:
        return "open" if one.answer.outcome == "unfinished" else "not_needed"
    if one.find.kind == "saturation":
        return "measured" if judged.seen.keeps else "not_measured"
    return "kept" if judged.seen.keeps else "not_kept"


def label(axes: Mapping[str, Value]) -> str:
    """`tier=disk op=read`: the axes by the last part of their paths; empty where there is none."""
    return " ".join(f"{path.rpartition('.')[2]}={_bare(value)}" for path, value in axes.items())


def _bare(value: Value) -> str:
    return value if isinstance(value, str) else show_value(value)
