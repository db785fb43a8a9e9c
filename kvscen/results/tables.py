"""The tables of a run: from points and records to Arrow, and from Arrow to Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

import kvscen
from kvscen.plan.point import Plan
from kvscen.plugin.registry import PluginError, registry
from kvscen.results import schema
from kvscen.results.errors import ResultsError, why
from kvscen.results.files import replace
from kvscen.results.journal import merge
from kvscen.results.judge import Verdict
from kvscen.results.points import PointColumns, columns_of_plan
from kvscen.results.record import TrialRecord
from kvscen.results.schema import Column, ColumnType, arrow_type
from kvscen.results.searches import Searched, candidate_rows, search_row

#: The tables that are made at the end of a run; the rows of all others are parts of a trial's record.
_AT_THE_END = frozenset({"verdicts", "searches", "candidates"})


def write_tables(
    folder: Path,
    plan: Plan,
    records: Iterable[TrialRecord],
    run_id: str,
    verdicts: Iterable[Verdict],
    found: Sequence[Searched] = (),
) -> dict[str, Path]:
    """Write every table of the run as Parquet (zstd) and return their paths by name.

    Each file appears completely or not at all. Raises ResultsError.
    """
    tables = make_tables(plan.scenario, columns_of_plan(plan), records, run_id)
    tables["verdicts"] = verdict_table(run_id, verdicts)
    tables |= search_tables(run_id, found)
    return {name: _write(folder / f"{name}.parquet", table) for name, table in tables.items()}


def make_tables(
    scenario: str, points: Sequence[PointColumns], records: Iterable[TrialRecord], run_id: str
) -> dict[str, pa.Table]:
    """The tables of the trials, in memory. Rows are in the order of the points, then of the trials: the same records
    give the same tables, in whatever order they ended."""
    place = {point.point_id: number for number, point in enumerate(points)}
    known = [record for record in merge(records) if record.point_id in place]
    ordered = sorted(known, key=lambda record: (place[record.point_id], record.trial))
    by_id = {point.point_id: point for point in points}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in schema.TABLES if name not in _AT_THE_END}
    for record in ordered:
        identity = {"run_id": run_id, "point_id": record.point_id, "trial": record.trial}
        for name, parts in _parts(record):
            rows[name] += [identity | dict(part) for part in parts]
    trials = [_trial_row(scenario, by_id[record.point_id], record, run_id) for record in ordered]
    tables = {"trials": _table("trials", trials, _trial_columns(points, ordered), run_id)}
    for name, content in rows.items():
        tables[name] = _table(name, content, schema.TABLES[name], run_id)
    return tables


def verdict_table(run_id: str, verdicts: Iterable[Verdict]) -> pa.Table:
    rows = [{"run_id": run_id, **attrs.asdict(verdict)} for verdict in verdicts]
    return _table("verdicts", rows, schema.VERDICTS, run_id)


def search_tables(run_id: str, found: Sequence[Searched]) -> dict[str, pa.Table]:
    """What searches came to, and what became of their candidates."""
    rows = {
        "searches": [search_row(one) for one in found],
        "candidates": [row for one in found for row in candidate_rows(one)],
    }
    return {
        name: _table(name, [{"run_id": run_id, **row} for row in own], schema.TABLES[name], run_id)
        for name, own in rows.items()
    }


def read_table(path: Path) -> pa.Table:
    """One of the tables. Raises ResultsError for what is no table of ours, is damaged, or has another schema
    version."""
    try:
        # Not read_table, which imports all of pyarrow's datasets for one file.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {why(error)}") from error
    except (pa.ArrowException, ValueError) as error:
        raise ResultsError(
            f"{path} is no Parquet file or is damaged: {str(error).splitlines()[0]}",
            "delete it: kvscen show reads the journal beside it",
        ) from error
    version = (table.schema.metadata or {}).get(b"kvscen.schema_version", b"none").decode("utf-8", "replace")
    if version != schema.SCHEMA_VERSION:
        raise ResultsError(
            f"{path} is of schema version {version}, this kvscen reads {schema.SCHEMA_VERSION}",
            "use the kvscen that wrote it: the version is in its metadata and in environment.json",
        )
    return table


def _parts(record: TrialRecord) -> Iterable[tuple[str, Iterable[Mapping[str, Any]]]]:
    buckets = (
        {
            "tier": series.tier,
            "operation": series.operation,
            "unit": series.unit,
            "phase": series.phase,
            "lower_ns": lower,
            "upper_ns": upper,
            "count": count,
        }
        for series in record.latency
        for lower, upper, count in zip(series.lower_ns, series.upper_ns, series.count, strict=True)
    )
    yield "latency", buckets
    yield "timeline", record.timeline
    yield "tiers", record.tiers
    yield "steps", record.steps
    yield "users", record.users
    yield "found", record.found
    yield "occupancy", record.occupancy
    yield "workers", record.workers


def _trial_row(scenario: str, point: PointColumns, record: TrialRecord, run_id: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(point.variables)
    row |= {f"axis.{path}": value for path, value in point.axes.items()}
    row |= record.measures
    row |= {
        "run_id": run_id,
        "scenario": scenario,
        "sweep": point.sweep,
        "point_id": record.point_id,
        "trial": record.trial,
        "trial_order": record.trial_order,
        "started_unix_ns": record.started_unix_ns,
        "status": record.status,
        "reason": record.reason,
        "settings": list(point.settings.items()),
    }
    return row


def _trial_columns(points: Sequence[PointColumns], records: Sequence[TrialRecord]) -> list[Column]:
    fixed = [*schema.TRIALS, schema.SETTINGS]
    return [*fixed, *_axis_columns(points), *_own_columns({c.name for c in fixed}, points, records)]


def _axis_columns(points: Sequence[PointColumns]) -> list[Column]:
    values: dict[str, list[Any]] = {}
    for point in points:
        for path, value in point.axes.items():
            values.setdefault(path, []).append(value)
    return [
        Column(f"axis.{path}", _type_of(found), _unit_of_axis(path, points), f"what the axis `{path}` is at this point")
        for path, found in values.items()
    ]


def _own_columns(fixed: set[str], points: Sequence[PointColumns], records: Sequence[TrialRecord]) -> list[Column]:
    """The columns that drivers add: those that they declare, then what records hold beside them."""
    found: dict[str, Column] = {}
    for driver in dict.fromkeys(point.driver for point in points):
        try:
            declared = registry().driver(driver).measures
        except PluginError:
            # The driver was removed since the run. Its values are kept; only their units are not known any more.
            continue
        for measure in declared:
            if measure.name not in fixed:
                column = Column(measure.name, measure.type, measure.unit or None, measure.description)
                found.setdefault(measure.name, column)
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.measures.items():
            if name not in fixed and name not in found:
                values.setdefault(name, []).append(value)
    undeclared = [Column(name, _type_of(seen), None, "measured by the driver") for name, seen in sorted(values.items())]
    return [*found.values(), *undeclared]


def _type_of(values: Iterable[Any]) -> ColumnType:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int64"
    if kinds and kinds <= {int, float}:
        return "float64"
    return "string"


def _unit_of_axis(path: str, points: Sequence[PointColumns]) -> str | None:
    return next((point.axis_units.get(path) for point in points if path in point.axis_units), None)


def _table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], run_id: str) -> pa.Table:
    metadata = {
        "kvscen.schema_version": schema.SCHEMA_VERSION,
        "kvscen.version": kvscen.__version__,
        "kvscen.run_id": run_id,
        "kvscen.table": name,
    }
    made = pa.schema([schema.field(column) for column in columns], metadata=metadata)
    return pa.table([_array(column, rows) for column in columns], schema=made)


def _array(column: Column, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    convert = _converter(column.type)
    values = [row.get(column.name) for row in rows]
    try:
        return pa.array([None if value is None else convert(value) for value in values], arrow_type(column.type))
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        wrong = next(value for value in values if _does_not_fit(value, convert, arrow_type(column.type)))
        raise ResultsError(
            f"the column `{column.name}` holds {column.type} values, and {wrong!r} is none",
            "this is a mistake of the driver that measured it; the journal keeps every trial",
        ) from error


def _does_not_fit(value: Any, convert: Callable[[Any], Any], type: pa.DataType) -> bool:
    try:
        pa.array([None if value is None else convert(value)], type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return True
    return False


def _converter(type: ColumnType) -> Callable[[Any], Any]:
    if type == "string":
        return _text
    if type == "float64":
        return float
    return lambda value: value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _write(path: Path, table: pa.Table) -> Path:
    return replace(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
