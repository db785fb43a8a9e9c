"""The report for programs: one JSON object for the points, or the raw rows of trials.parquet as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from kvscen.report.run import AXIS, PointReport, Report
from kvscen.report.steps import step_figures
from kvscen.report.talk import found_figures, user_figures
from kvscen.results import schema
from kvscen.results.aggregate import aggregate, has_count, left_out, ok, total
from kvscen.results.measures import MEASURES

_VARIABLES = [column.name for column in schema.VARIABLES]
_FACTS = ("path", "path_evidence", "pages", "depth_used", "alignment_bytes", "stride_bytes")


def report_json(report: Report) -> str:
    """One object: the run, its points with median, spread and n of every measure, its verdicts. Keys are columns."""
    return json.dumps(report_object(report), indent=2, ensure_ascii=False) + "\n"


def report_object(report: Report) -> dict[str, Any]:
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "run_id": report.run_id,
        "scenario": report.scenario,
        "folder": str(report.folder),
        "points_planned": report.points_planned,
        "points_not_needed": report.points_not_needed,
        "trials_planned": report.trials_planned,
        "trials_ended": report.trials_ended,
        "points": [_point(report, point) for point in report.points],
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
        "searches": [_search(report, search) for search in report.searches],
        "notes": list(report.notes),
    }


def _point(report: Report, point: PointReport) -> dict[str, Any]:
    good = ok(point.trials)
    measures: dict[str, Any] = {}
    for info in MEASURES.values():
        if info.is_count:
            if has_count(point.trials, info.column):
                found = total(point.trials, info.column)
                measures[info.column] = {"sum": found.value, "trials_without": list(found.unknown)}
        elif any(trial.measures.get(info.column) is not None for trial in good):
            measures[info.column] = _median(point, info.column)
    own: dict[str, Any] = {}
    for name in report.own_columns(point):
        values = [trial.measures.get(name) for trial in good]
        if any(isinstance(value, str | bool) for value in values):
            own[name] = {"values": values}
        else:
            own[name] = _median(point, name)
    users = user_figures(report, point)
    steps = [{**step.known, **step.figures} for step in step_figures(report, point)]
    return {
        "point_id": point.point_id,
        "sweep": point.sweep,
        **{name: point.row.get(name) for name in _VARIABLES},
        "axes": {path: point.row[AXIS + path] for path in point.axes},
        "settings": point.row["settings"],
        **{name: next((t.measures[name] for t in good if t.measures.get(name) is not None), None) for name in _FACTS},
        "trials_ok": len(good),
        "left_out": [
            {"status": status, "trials": count, "reason": reason} for status, count, reason in left_out(point.trials)
        ],
        "measures": measures,
        "driver_measures": own,
        **({"steps": steps} if steps else {}),
        **({"users": users, "found": found_figures(report, point)} if users else {}),
        "warnings": list(point.warnings),
    }


def _median(point: PointReport, column: str) -> dict[str, Any]:
    found = aggregate(point.trials, column)
    return {"median": found.median, "spread": found.spread, "n": found.n, "trials_without": found.lacking}


def _verdict(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in verdict.items() if name != "run_id"}


def _search(report: Report, search: Mapping[str, Any]) -> dict[str, Any]:
    known = ("run_id", "sweep", "search", "others", "path", "unit")
    own = [c for c in report.candidates if all(c[name] == search[name] for name in known)]
    return {
        **_verdict(search),
        "points": [{name: value for name, value in row.items() if name not in known} for row in own],
    }


def report_csv(report: Report) -> str:
    """Every row of trials.parquet, its columns as they are; the map `settings` as one JSON object."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = report.trials.column_names
    writer.writerow(names)
    for row in report.trials.to_pylist():
        writer.writerow([_cell(row[name]) for name in names])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(dict(value), ensure_ascii=False)
    return value


__all__ = ["report_csv", "report_json", "report_object"]
