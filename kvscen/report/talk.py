"""What users got and what was found for them, as tables beside that of the points."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.numbers import NOTHING, scale_for, show_one, show_percent
from kvscen.report.run import PointReport, Report
from kvscen.results.aggregate import ok

_LATENCIES = ("request_latency_p50_ns", "request_latency_p95_ns", "request_latency_p99_ns", "request_latency_max_ns")
_WAIT = "request_wait_p50_ns"
#: The share of a latency from which on it has to be said that the order made it.
_MUCH = 0.1


def user_figures(report: Report, point: PointReport) -> list[dict[str, Any]]:
    """The kinds of users of a point, with the medians over its trials that are ok."""
    return _medians(_rows(report, point, "users"), ("users",), ("target_p95_ns", "target_p99_ns"))


def found_figures(report: Report, point: PointReport) -> list[dict[str, Any]]:
    """What was looked up at a point, by kind and level, with the medians over its trials that are ok."""
    return _medians(_rows(report, point, "found"), ("kind", "tier"), ("level",))


def talk_tables(report: Report, sweep: str) -> Iterator[RenderableType]:
    """For each point of conversations its users, and then what was looked up."""
    for point in report.points:
        if point.sweep != sweep:
            continue
        users = user_figures(report, point)
        if not users:
            continue
        label = ", ".join(f"{path} = {value}" for path, value in point.axes.items())
        yield from _titled("users", label, _users(users))
        targets = _targets(users)
        if targets is not None:
            yield from _titled("targets (QoS)", label, targets)
        found = found_figures(report, point)
        if found:
            yield from _titled("found", label, _found(found))


def talk_notes(report: Report, sweep: str) -> tuple[str, ...]:
    """What these tables need said."""
    rows = [
        row
        for point in report.points
        if point.sweep == sweep
        for row in report.details.get("users", {}).get(point.point_id, ())
    ]
    if not rows:
        return ()
    notes = [
        "a request's latency is what it waited for storage: its steps, each from when it was due; generating and "
        "thinking are left out. waiting: until its operations were submitted. for the order: the share of the latency "
        "in which the user before in the order was thinking",
        "found: by what was looked up: history, what its conversation had before; shared, system prompts; document, "
        "retrieved pieces; reread, what the request itself had written; new, what nobody had before",
        "wall: generated tokens / time; storage: generated tokens / storage time of all requests added up, which is "
        "what kv-cache.py calls storage throughput: it falls as users are added, and is no speed of the storage",
    ]
    if any((row["order_wait_share"] or 0) > _MUCH for row in rows):
        notes.append(
            f"over {show_percent(_MUCH)} of what requests waited is due to their order, that of a slower storage: "
            "a larger `order_for` comes closer to this one"
        )
    if any(row["qos_met"] is not None for row in rows):
        notes.append("target p95: 95 % of the requests are to be within it; within: how many were")
    return tuple(notes)


def _rows(report: Report, point: PointReport, table: str) -> list[Mapping[str, Any]]:
    good = {trial.trial for trial in ok(point.trials)}
    return [row for row in report.details.get(table, {}).get(point.point_id, ()) if row["trial"] in good]


def _medians(rows: Iterable[Mapping[str, Any]], names: Sequence[str], constant: Sequence[str]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [_median(own, (*names, *constant)) for own in groups.values()]


def _median(rows: Sequence[Mapping[str, Any]], same: Sequence[str]) -> dict[str, Any]:
    """None where a trial lacks the value; of a truth whether it holds in all trials."""
    found: dict[str, Any] = {}
    for name, first in rows[0].items():
        if name in ("run_id", "point_id", "trial"):
            continue
        values = [row[name] for row in rows]
        if name in same:
            found[name] = first
        elif any(value is None for value in values):
            found[name] = None
        elif isinstance(first, bool):
            found[name] = all(values)
        else:
            found[name] = statistics.median(values)
    return found


def _titled(title: str, label: str, table: Table) -> Iterator[RenderableType]:
    yield Text()
    yield Padding(Text.assemble((title, "bold"), f"  {label}" if label else ""), (0, 0, 0, 2))
    yield Padding(table, (0, 0, 0, 2))


def _users(rows: Sequence[Mapping[str, Any]]) -> Table:
    time = scale_for((row[name] for row in rows for name in _LATENCIES), "ns")
    columns = {
        "users": [row["users"] for row in rows],
        "requests": [f"{round(row['requests']):,}" for row in rows],
    }
    for title, name in zip(("p50", "p95", "p99", "longest"), _LATENCIES, strict=True):
        columns[f"{title}\n{time.unit}"] = [time.show(row[name]) for row in rows]
    columns[f"waiting p50\n{time.unit}"] = [time.show(row[_WAIT]) for row in rows]
    columns["for the order\n%"] = [show_percent(row["order_wait_share"]).removesuffix(" %") for row in rows]
    return _grid(columns, words=("users",))


def _targets(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    asked = [(row, part) for row in rows for part in ("p95", "p99") if row[f"target_{part}_ns"] is not None]
    if not asked:
        return None
    needed = {"p95": 0.95, "p99": 0.99}
    columns = {
        "users": [row["users"] for row, _ in asked],
        "target": [f"{part} {show_one(row[f'target_{part}_ns'], 'ns')}" for row, part in asked],
        "within": [show_percent(row[f"within_{part}_share"]) for row, part in asked],
        "": [_met(row[f"within_{part}_share"], needed[part]) for row, part in asked],
    }
    return _grid(columns, words=("users", "target", ""))


def _met(share: float | None, needed: float) -> str:
    return NOTHING if share is None else "met" if share >= needed else "missed"


def _found(rows: Sequence[Mapping[str, Any]]) -> Table:
    levels = [tier for tier in dict.fromkeys(row["tier"] for row in rows) if tier is not None]
    whole = [row for row in rows if row["tier"] is None]
    rates = {(row["kind"], row["tier"]): row["hit_rate"] for row in rows}
    columns = {
        "kind": [row["kind"] for row in whole],
        "look-ups": [f"{round(row['lookups']):,}" for row in whole],
        "found": [show_percent(row["hit_rate"]) for row in whole],
    }
    if len(levels) > 1:
        for tier in levels:
            columns[f"in {tier}"] = [show_percent(rates.get((row["kind"], tier))) for row in whole]
    return _grid(columns, words=("kind",))


def _grid(columns: Mapping[str, Sequence[str]], words: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        title, _, unit = name.partition("\n")
        head = Text.assemble(title, (f"\n{unit}", "dim")) if unit else Text(title)
        table.add_column(head, justify="left" if title in words else "right", no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table
