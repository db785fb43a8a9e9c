"""Which trials of a run are exported, and the whole object of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.export.mlperf.field import assemble
from kvscen.export.mlperf.fields import FIELDS, RULE, VERSION
from kvscen.export.trial import Level, Trial, whole_tier
from kvscen.report.numbers import plural
from kvscen.report.run import AXIS, PointReport, Report, TrialRow, load_report
from kvscen.results import schema
from kvscen.results.aggregate import ok
from kvscen.results.errors import ResultsError
from kvscen.results.folder import RunFolder, open_run_folder

#: What a level can stand for.
TIERS = ("gpu", "cpu", "storage")
_BY_DRIVER = {"gpu": "gpu", "memory": "cpu"}
_PATTERNS = ("conversations", "replay")
_TABLES = ("users", "found", "tiers", "latency")


@attrs.frozen
class Chosen:
    """Trials that are exported, in the order of the run, and a sentence for each that is not."""

    run: RunFolder
    report: Report
    trials: tuple[tuple[PointReport, TrialRow], ...]
    left_out: tuple[str, ...]


def choose(folder: Path, points: Sequence[str] = (), trial: int | None = None) -> Chosen:
    """The trials that are ok of the points with these ids, or of all whose requests are known before; with `trial` only
    that one, of one point. Raises ResultsError."""
    run = open_run_folder(folder)
    report = load_report(folder, _TABLES)
    missing = [f"{name}.parquet" for name in _TABLES if name not in report.details]
    if missing:
        raise ResultsError(f"{folder} has no {' and no '.join(missing)}", "restore what was removed from it")
    patterns = {point["point_id"]: point["pattern_type"] for point in run.plan["points"]}
    known = [each for each in report.labels if patterns[each] in _PATTERNS]
    if not known:
        raise ResultsError(
            f"no point of {folder} is of users who converse or of a replay, and kv-cache.py's figures are of requests",
            "export a run of a pattern `conversations`; kvscen show prints this one",
        )
    for each in points:
        if each not in known:
            what = f"is of a {patterns[each]}" if each in patterns else "is not there"
            raise ResultsError(f"the point {each} {what} in {folder}", f"it has {_named(report, known)}")
    wanted = list(dict.fromkeys(points)) or known
    if trial is not None and len(wanted) > 1:
        raise ResultsError(
            f"each of {plural(len(wanted), 'point')} of {folder} has a trial {trial}",
            f"name one of them with --point: {_named(report, wanted)}",
        )
    there = {point.point_id: point for point in report.points}
    own = [(there[each], row) for each in wanted if each in there for row in there[each].trials]
    if trial is not None:
        numbers = [row.trial for _, row in own]
        if trial not in numbers:
            have = ", ".join(map(str, numbers)) or "none"
            raise ResultsError(f"the point {wanted[0]} of {folder} has no trial {trial}", f"its trials are {have}")
        own = [(point, row) for point, row in own if row.trial == trial]
    good = [(point, row) for point, row in own if ok([row])]
    left_out = [f"trial {row.trial} of {point.point_id} {_ending(row)}" for point, row in own if not ok([row])]
    left_out += [f"no trial of {each} has ended" for each in wanted if each not in there]
    if not good:
        raise ResultsError(
            f"no trial of {folder} that was asked for is ok: {'; '.join(left_out)}",
            "only a trial that did all its work has figures to compare: run it again",
        )
    return Chosen(run, report, tuple(good), tuple(left_out))


def _named(report: Report, points: Sequence[str]) -> str:
    return ", ".join(f"{each} ({report.labels[each]})" for each in points)


def _ending(row: TrialRow) -> str:
    return f"is left out, it ended as {row.status}" + (f": {row.reason}" if row.reason else "")


def document(chosen: Chosen, point: PointReport, row: TrialRow, said: Mapping[str, str]) -> dict[str, Any]:
    """A trial as kv-cache.py would write it, under `kvscen` what it is of. `said`: what levels stand for, by name."""
    planned = next(each for each in chosen.run.plan["points"] if each["point_id"] == point.point_id)
    trial = _trial(chosen.report, planned, row, said)
    return {"kvscen": _about(chosen, point, planned, trial)} | assemble(FIELDS, trial)


def levels_of(chosen: Chosen) -> list[str]:
    """The names of all levels of the points that are exported."""
    points = {point.point_id for point, _ in chosen.trials}
    own = [planned for planned in chosen.run.plan["points"] if planned["point_id"] in points]
    return list(dict.fromkeys(level["tier"] for planned in own for level in _levels(planned)))


def _levels(planned: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return planned["levels"] or [planned]


def _trial(report: Report, planned: Mapping[str, Any], row: TrialRow, said: Mapping[str, str]) -> Trial:
    users, found, tiers, latency = (
        [each for each in report.details[name].get(row.point_id, ()) if each["trial"] == row.trial] for name in _TABLES
    )
    by_name = {each["tier"]: each for each in tiers if each["to_tier"] is None}
    levels = [
        Level(
            level["tier"],
            level["driver"],
            said.get(level["tier"]) or _BY_DRIVER.get(level["driver"], "storage"),
            level["tier"] in said,
            by_name[level["tier"]] if planned["levels"] else whole_tier(row.measures, latency),
        )
        for level in _levels(planned)
    ]
    return Trial(row.measures, users, found, latency, levels)


def _about(chosen: Chosen, point: PointReport, planned: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    row = trial.row
    return {
        "fields": f"those of MLPerf Storage's kv-cache.py {VERSION}: {RULE}; kvscen export mlperf --explain",
        "run_id": chosen.report.run_id,
        "version": chosen.run.environment.get("versions", {}).get("kvscen"),
        "schema_version": schema.SCHEMA_VERSION,
        **{name: row[name] for name in ("scenario", "sweep", "point_id", "trial")},
        "axes": {path: row[AXIS + path] for path in point.axes},
        "pattern_type": planned["pattern_type"],
        **{name: row[name] for name in ("model", "block_bytes", "page_tokens", "sequence", "path", "path_evidence")},
        "tiers": {
            level.name: {
                "driver": level.driver,
                "stands_for": level.stands_for,
                "said_by": "--tier" if level.said else "its driver",
            }
            for level in trial.levels
        },
        "notes": [*_crowded(trial), *point.warnings],
    }


def _crowded(trial: Trial) -> list[str]:
    """Levels that stand for the same have no percentiles together."""
    return [
        f"{' and '.join(level.name for level in own)} stand for {kind}: their bytes are added up, and their "
        f"percentiles are null; say what each stands for, such as --tier {own[0].name}=gpu"
        for kind in TIERS
        if len(own := trial.levels_of(kind)) > 1
    ]
