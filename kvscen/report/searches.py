"""What searches came to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.numbers import NOTHING, show_one, show_percent
from kvscen.report.run import Report
from kvscen.results.measures import measure_named


def search_lines(report: Report) -> Iterator[RenderableType]:
    """For each `find` as it is written a line for each combination of the other axes: the answer, and what was measured
    on both sides of it."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in report.searches:
        groups.setdefault((row["sweep"], row["search"]), []).append(row)
    yield Text("searches", "bold")
    many_sweeps = len({sweep for sweep, _ in groups}) > 1
    for (sweep, search), rows in groups.items():
        text = search.removeprefix("find ")
        yield Padding(Text(f"{sweep}: {text}" if many_sweeps else text), (0, 0, 0, 2))
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(2):
            grid.add_column()
        grid.add_column(overflow="fold")
        for row in rows:
            style = {"found": "green", "unfinished": "yellow"}.get(row["outcome"], "bold yellow")
            spared = row["candidates"] - row["candidates_measured"]
            how = f"{row['candidates_measured']:,} of {row['candidates']:,} points measured"
            how += f", {spared:,} not needed" if spared and row["outcome"] != "unfinished" else ""
            words = "; ".join(part for part in (sentence(row, reasons(report, row)), how) if part)
            grid.add_row(Text(row["others"]), Text(headline(row), style), Text(words))
        yield Padding(grid, (0, 0, 0, 4))


def headline(row: Mapping[str, Any]) -> str:
    """The answer in a word or two."""
    match row["outcome"]:
        case "found":
            return str(row["value_text"])
        case "beyond":
            side = "lower" if row["kind"] == "lowest" else "higher"
            return f"{row['value_text']} or {side}"
        case "none":
            return "none"
        case outcome:
            return str(outcome).replace("_", " ")


def sentence(row: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """What was measured at the answer and beside it. `reasons` say for points why they do not count."""
    here = f"{row['measure']} {_figure(row, 'measured')}"
    beside = _beside(row, reasons)
    match row["outcome"], row["kind"]:
        case "found", _:
            text = f"{here}; {beside}"
        case "beyond", "saturation":
            text = f"{here}; the range ends before two higher values bring no more"
        case "beyond", _:
            text = f"{here}; the whole range keeps it"
        case "none", "saturation":
            text = f"no value has it: {beside}"
        case "none", _:
            text = f"no value keeps it: {beside}"
        case "unfinished", _:
            text = ""
        case _:
            return str(row["reason"])
    return f"{text}; {row['reason']}" if row["reason"] else text


def _beside(row: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    why = reasons.get(row["next_point_id"] or "", "")
    figure = why or _figure(row, "next_measured")
    return f"at {row['next_value_text']}: {figure}"


def reasons(report: Report, row: Mapping[str, Any]) -> dict[str, str]:
    """Why candidates do not count, of those that have a reason beside their figures."""
    return {c["point_id"]: c["reason"] for c in report.candidates if c["search"] == row["search"] and c["reason"]}


def _figure(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return NOTHING
    info = measure_named(row["measure"])
    if info is not None and info.percent:
        return show_percent(value)
    return show_one(int(value) if float(value).is_integer() else value, row["measure_unit"])
