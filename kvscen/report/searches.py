"""What searches came to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.numbers import NOTHING, plural, scale_for, show_percent
from kvscen.report.run import Report
from kvscen.results.measures import measure_named


def search_lines(report: Report) -> Iterator[RenderableType]:
    """For each `find` as it is written a line for each combination of the other axes: the answer, and what was measured
    on both sides of it."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in report.searches:
        groups.setdefault((row["sweep"], row["search"]), []).append(row)
    spared = report.points_not_needed
    yield Text.assemble(("searches", "bold"), f"  {plural(spared, 'point')} not needed, and not run" if spared else "")
    many_sweeps = len({sweep for sweep, _ in groups}) > 1
    for (sweep, search), rows in groups.items():
        text = search.removeprefix("find ")
        yield Padding(Text(f"{sweep}: {text}" if many_sweeps else text), (0, 0, 0, 2))
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(2):
            grid.add_column()
        grid.add_column(overflow="fold")
        for row in rows:
            style = "green" if row["outcome"] == "found" and not row["reason"] else "bold yellow"
            how = f"{row['candidates_measured']:,} of {row['candidates']:,} points measured"
            words = "; ".join(part for part in (sentence(report, row), how) if part)
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


def sentence(report: Report, row: Mapping[str, Any]) -> str:
    """What was measured at the answer and beside it."""
    found, beside = (_figures(report, row, row[name]) for name in ("point_id", "next_point_id"))
    here = ", ".join(f"{c['measure']} {_figure(c, beside)}" for c in found)
    there = f"at {row['next_value_text']}: {_why_not(beside, found)}"
    match row["outcome"], row["kind"]:
        case "found", _:
            text = f"{here}; {there}"
        case "beyond", "saturation":
            text = f"{here}; the range ends before two higher values bring no more"
        case "beyond", _:
            text = f"{here}; the whole range keeps it"
        case "none", "saturation":
            text = f"no value has it; {there}"
        case "none", _:
            text = f"no value keeps it; {there}"
        case _:
            text = ""
    return "; ".join(part for part in (text, row["reason"]) if part)


def _figures(report: Report, row: Mapping[str, Any], point_id: str | None) -> list[Mapping[str, Any]]:
    """The rows of a candidate, one for each condition."""
    return [c for c in report.candidates if (c["search"], c["point_id"]) == (row["search"], point_id)]


def _why_not(candidate: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str:
    """Why a candidate is beyond the border: what befell it, or the conditions that it does not keep."""
    if candidate and candidate[0]["reason"]:
        return str(candidate[0]["reason"])
    failed = [c for c in candidate if c["outcome"] != "pass"]
    named = len(candidate) > 1
    return ", ".join((f"{c['measure']} " if named else "") + _figure(c, other) for c in failed)


def _figure(candidate: Mapping[str, Any], other: Sequence[Mapping[str, Any]]) -> str:
    """What was measured, in a unit that suits the same of the other candidate too where that is not far from it."""
    value, unit = candidate["measured"], candidate["measure_unit"]
    if value is None:
        return NOTHING
    info = measure_named(candidate["measure"])
    if info is not None and info.percent:
        return show_percent(value)
    beside = [c["measured"] for c in other if c["condition"] == candidate["condition"] and c["measured"] is not None]
    near = [number for number in beside if value / 10 < number < value * 10]
    scale = scale_for([_whole(number) for number in (value, *near)], unit).digits_for([_whole(value)])
    return f"{scale.show(_whole(value))} {scale.unit.removeprefix('1')}".strip()


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
