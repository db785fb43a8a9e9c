"""A run as a reader meets it: its points with their trials, its verdicts, and what is missing.

It is made from the tables that the run left, so that `kvscen run` and `kvscen show` print the same. Where a run was
killed before it wrote them, the same tables are made in memory from its journal.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa

from kvscen.language.values import Quantity, is_long, show_value
from kvscen.measure.steady import MOST_DRIFT
from kvscen.report.numbers import plural, show_one, show_percent
from kvscen.results import schema
from kvscen.results.aggregate import left_out, ok
from kvscen.results.errors import ResultsError
from kvscen.results.folder import RunFolder, open_run_folder
from kvscen.results.journal import is_being_written, journal_paths, merge, read_journal
from kvscen.results.measures import UNITS_OF_COLUMNS
from kvscen.results.points import PointColumns, columns_of_json
from kvscen.results.tables import make_tables, read_table

AXIS = "axis."

#: Under this share of the bytes at the device, a cache took part.
LEAST_DEVICE_RATIO = 0.9


@attrs.frozen
class TrialRow:
    """A row of trials.parquet, in the form that kvscen.results.aggregate asks for."""

    measures: Mapping[str, Any]

    @property
    def point_id(self) -> str:
        return str(self.measures["point_id"])

    @property
    def trial(self) -> int:
        return int(self.measures["trial"])

    @property
    def status(self) -> str:
        return str(self.measures["status"])

    @property
    def reason(self) -> str:
        return str(self.measures["reason"] or "")


@attrs.frozen
class PointReport:
    """One measured point. `axes` are the values of its axes as a reader writes them; `row` is its first trial's, for
    what does not change from trial to trial."""

    point_id: str
    sweep: str
    axes: Mapping[str, str]
    row: Mapping[str, Any]
    trials: tuple[TrialRow, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before believing this point's figures."""
        found = []
        good = ok(self.trials)
        ratios = [t.measures["device_ratio"] for t in good if t.measures.get("device_ratio") is not None]
        lowest = min(ratios, default=None)
        paths = dict.fromkeys(t.measures.get("path") for t in good if t.measures.get("path"))
        if len(paths) > 1:
            found.append(f"the trials took different paths: {', '.join(map(str, paths))}")
        if "page cache" in paths:
            if lowest is None:
                found.append("through the page cache: this may be the speed of memory, not of the device")
            elif lowest < LEAST_DEVICE_RATIO:
                share = f"the device moved {show_percent(lowest)} of the bytes"
                found.append(f"served by the page cache: this is the speed of memory, not of the device; {share}")
            else:
                found.append("through the page cache: read-ahead and write-back take part in this figure")
        elif lowest is not None and lowest < LEAST_DEVICE_RATIO and "direct" in paths:
            found.append(
                f"the path is direct, and yet the device moved only {show_percent(lowest)} of the bytes: "
                "a cache or unwritten extents took part, this is not the device's speed"
            )
        restless = [t for t in good if t.measures.get("steady") is False]
        behind = [t for t in restless if (t.measures.get("steady_drift") or 0) > MOST_DRIFT]
        for some, what in (
            (len(behind), "did not keep up with its rate: the longer it runs, the longer operations wait"),
            (len(restless) - len(behind), "was not steady within the cap: figures of a longer run may differ"),
        ):
            if some:
                which = "the trials" if some == len(good) else f"{some} of {len(good)} trials"
                found.append(f"the load of {which} {what}")
        for column in ("note", "ceiling_note"):
            found += dict.fromkeys(str(t.measures[column]) for t in good if t.measures.get(column))
        return tuple(found)

    @property
    def status(self) -> str:
        """`5 ok`, or `4 ok, 1 hang`."""
        counts = [(len(ok(self.trials)), "ok")]
        for status, count, _ in left_out(self.trials):
            counts.append((count, status))
        merged: dict[str, int] = {}
        for count, status in counts:
            merged[status] = merged.get(status, 0) + count
        return ", ".join(f"{count} {status}" for status, count in merged.items() if count) or "none"

    @property
    def losses(self) -> tuple[str, ...]:
        """Why trials were left out: `1 hang: no completion for 30 s`."""
        return tuple(
            f"{count} {status}: {reason}" if reason else f"{count} {status}"
            for status, count, reason in left_out(self.trials)
        )


#: Tables that a report shows beside the trials.
DETAILS = ("steps", "users", "found")


@attrs.frozen
class Report:
    """A whole run. `labels` name every point of the plan, measured or not, by its axes; `notes` are sentences about the
    run as a whole; `details` are the rows of some tables, by point, `searches` and `candidates` those of the tables of
    these names."""

    folder: Path
    run_id: str
    scenario: str
    points: tuple[PointReport, ...]
    labels: Mapping[str, str]
    verdicts: tuple[Mapping[str, Any], ...]
    points_planned: int
    trials_planned: int
    trials: pa.Table
    notes: tuple[str, ...] = ()
    details: Mapping[str, Mapping[str, tuple[Mapping[str, Any], ...]]] = attrs.field(factory=dict)
    searches: tuple[Mapping[str, Any], ...] = ()
    candidates: tuple[Mapping[str, Any], ...] = ()

    @property
    def points_not_needed(self) -> int:
        """Points of the plan that no search needed."""
        return len({row["point_id"] for row in self.candidates if row["status"] == "not_needed"})

    @property
    def trials_ended(self) -> int:
        return int(self.trials.num_rows)

    def own_columns(self, point: PointReport) -> list[str]:
        """The driver's own columns that hold something at this point."""
        fixed = {c.name for c in (*schema.TRIALS, schema.SETTINGS)}
        return [
            name
            for name in self.trials.column_names
            if name not in fixed
            and not name.startswith(AXIS)
            and any(t.measures.get(name) is not None for t in point.trials)
        ]

    def unit(self, column: str) -> str | None:
        """A column's unit, from the table's metadata."""
        metadata = self.trials.schema.field(column).metadata or {}
        unit = metadata.get(b"unit")
        return unit.decode() if unit else None


def load_report(folder: Path, tables: Sequence[str] = DETAILS) -> Report:
    """The report of a run from its tables; from its journal where it ended before it wrote them. `tables`: whose rows
    are its details. Raises ResultsError."""
    run = open_run_folder(folder)
    points = columns_of_json(run.plan)
    path = folder / "trials.parquet"
    journals = [read_journal(journal) for journal in journal_paths(folder)]
    records = merge(record for journal in journals for record in journal.records)
    notes: list[str] = []
    verdicts: list[Mapping[str, Any]] = []
    searches: list[Mapping[str, Any]] = []
    candidates: list[Mapping[str, Any]] = []
    trials = read_table(path) if path.exists() else None
    details = {name: read_table(path) for name in tables if (path := folder / f"{name}.parquet").exists()}
    if trials is None or _is_behind(trials, records):
        if trials is None and not journals:
            raise ResultsError(f"{folder} holds no results: the run ended before its first trial", "start it again")
        made = make_tables(str(run.plan.get("scenario", "")), points, records, run.run_id)
        trials, details = made["trials"], {name: made[name] for name in tables}
        expectations = any(point.get("expectations") for point in run.plan.get("points", ()))
        how = "it is still going on" if is_being_written(folder) else "the run was stopped before it wrote its tables"
        unjudged = ", and its expectations are not judged yet" if expectations else ""
        searching = ", and its searches have no answers yet" if run.plan.get("searches") else ""
        notes.append(f"read from the journal: {how}{unjudged}{searching}")
    else:
        verdicts = _rows(folder / "verdicts.parquet")
        searches, candidates = _rows(folder / "searches.parquet"), _rows(folder / "candidates.parquet")
    torn = sum(journal.torn_bytes for journal in journals)
    if torn:
        notes.append(
            f"the journal ends in {torn:,} bytes of a trial that was not completely written: they are left out"
        )
    return make_report(
        run,
        points,
        trials,
        verdicts,
        notes,
        {name: table.to_pylist() for name, table in details.items()},
        searches,
        candidates,
    )


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a table; none where it is not there."""
    rows: list[Mapping[str, Any]] = read_table(path).to_pylist() if path.exists() else []
    return rows


def make_report(
    run: RunFolder,
    points: Sequence[PointColumns],
    trials: pa.Table,
    verdicts: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    details: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    searches: Sequence[Mapping[str, Any]] = (),
    candidates: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """Put a report together from a trials table, and the rows of other tables."""
    units = {
        field.name.removeprefix(AXIS): (field.metadata or {}).get(b"unit", b"").decode()
        for field in trials.schema
        if field.name.startswith(AXIS)
    }
    groups: dict[str, list[TrialRow]] = {}
    for row in trials.to_pylist():
        row["settings"] = dict(row["settings"] or ())
        groups.setdefault(row["point_id"], []).append(TrialRow(row))
    planned = sum(point.trials for point in points)
    notes = list(notes)
    # Which of its candidates a search will need, it knows only at its end: those that never ran are not missing.
    of_searches = {c["point_id"] for search in run.plan.get("searches", ()) for c in search["candidates"]}
    wanted = [point for point in points if point.point_id in groups or point.point_id not in of_searches]
    due = sum(point.trials for point in wanted)
    ended = sum(1 for group in groups.values() for trial in group if trial.status != "interrupted")
    if ended < due:
        bare = sum(1 for point in wanted if point.point_id not in groups)
        none = f", {plural(bare, 'point')} of {len(wanted):,} not once" if bare else ""
        missing = f"{due - ended:,} of {plural(due, 'trial')}"
        if is_being_written(run.path):
            notes.append(f"{missing} are still to come")
        else:
            notes.append(f"{missing} did not run{none}: go on with {_resume(run)}")
    elif of_searches and not is_being_written(run.path) and not _at_end(run, searches):
        notes.append(f"the searches are not at their end: go on with {_resume(run)}")
    return Report(
        folder=run.path,
        run_id=run.run_id,
        scenario=str(run.plan.get("scenario", "")),
        points=tuple(_point(group, units) for group in groups.values()),
        labels={point.point_id: _label(point, units) for point in points},
        verdicts=tuple(verdicts),
        points_planned=len(points),
        trials_planned=planned,
        trials=trials,
        notes=tuple(notes),
        details={name: _by_point(rows) for name, rows in (details or {}).items()},
        searches=tuple(searches),
        candidates=tuple(candidates),
    )


def _at_end(run: RunFolder, searches: Sequence[Mapping[str, Any]]) -> bool:
    planned = len(run.plan.get("searches", ()))
    return len(searches) == planned and all(search["outcome"] != "unfinished" for search in searches)


def _by_point(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["point_id"], []).append(row)
    return {point_id: tuple(own) for point_id, own in found.items()}


def _resume(run: RunFolder) -> str:
    pins = [f"--set {shlex.quote(pin['path'] + '=' + pin['value'])}" for pin in run.plan.get("pins", ())]
    return " ".join(["kvscen run SCENARIO", *pins, "--resume", shlex.quote(str(run.path))])


def _is_behind(trials: pa.Table, records: Sequence[Any]) -> bool:
    """Whether the journal knows more than the table: the run was resumed and killed."""
    there = set(
        zip(trials["point_id"].to_pylist(), trials["trial"].to_pylist(), trials["status"].to_pylist(), strict=True)
    )
    return any((record.point_id, record.trial, record.status) not in there for record in records)


def _point(trials: Sequence[TrialRow], units: Mapping[str, str]) -> PointReport:
    row = trials[0].measures
    axes = {
        path: _spell((path, f"{row['sweep']}.{path}"), row[AXIS + path], unit, row["settings"])
        for path, unit in units.items()
        if row[AXIS + path] is not None
    }
    return PointReport(row["point_id"], row["sweep"], axes, row, tuple(trials))


def _label(point: PointColumns, units: Mapping[str, str]) -> str:
    """`op=read requests=10`."""
    spelled = {
        path: _spell((path, f"{point.sweep}.{path}"), value, units.get(path, ""), point.settings)
        for path, value in point.axes.items()
        if value is not None
    }
    return " ".join(f"{path.rpartition('.')[2]}={value}" for path, value in spelled.items()) or "the point"


def _spell(paths: Sequence[str], value: Any, unit: str, settings: Mapping[str, str]) -> str:
    """An axis's value as the language spells it, without the quotes of a text. `paths`: where its setting may be."""
    for path in paths:
        if path in settings and is_long(settings[path]) and unit in UNITS_OF_COLUMNS:
            dimension, scale, _ = UNITS_OF_COLUMNS[unit]
            return show_value(Quantity(Fraction(value) * scale, dimension))
        if path in settings:
            return settings[path].strip('"')
    if isinstance(value, bool):
        return "true" if value else "false"
    return show_one(value, unit) if isinstance(value, int | float) else str(value)
