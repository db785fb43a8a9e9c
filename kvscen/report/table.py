"""The tables that a person reads in a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.columns import SweepTable, TableColumn, tables_of
from kvscen.report.numbers import NOTHING, plural, show_one, show_percent
from kvscen.report.run import Report
from kvscen.results.measures import measure_named

#: The width for which tables are made where the terminal's is not known.
WIDTH = 100

_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")
_GAP = 2
_LONGEST_CELL = 28


def run_table(report: Report, width: int = WIDTH) -> RenderableType:
    """The whole report: for each sweep what its points share, the table and its notes; then the verdicts."""
    parts: list[RenderableType] = []
    for table in tables_of(report):
        parts += [*_sweep(report, table, width), Text()]
    if not report.points:
        parts += [Text("no trial has ended"), Text()]
    if report.verdicts:
        parts += [*_verdicts(report), Text()]
    for note in report.notes:
        parts.append(_bullet(note, "yellow"))
    parts.append(Text(f"{plural(report.trials_ended, 'trial')} in {report.folder}", "dim"))
    return Group(*parts)


def plain_table(report: Report, width: int = WIDTH) -> str:
    """The report as text without colours and without blanks at the ends of lines."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, color_system=None, legacy_windows=False).print(
        run_table(report, width)
    )
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def _sweep(report: Report, content: SweepTable, width: int) -> list[RenderableType]:
    head = Text.assemble((report.scenario, "bold"), "  sweep ", (content.sweep, "bold"))
    lines: list[RenderableType] = [head]
    if content.shared:
        lines.append(Padding(_shared(content.shared, width - 2), (0, 0, 0, 2)))
    columns, dropped = _fitting(content, width - 2)
    lines += [Text(), Padding(_grid(content, columns), (0, 0, 0, 2))]
    footnotes = [*content.footnotes]
    if dropped:
        names = ", ".join(column.name for column in dropped)
        footnotes.append(f"left out for want of width: {names}; --format csv has everything")
    lines.append(Text())
    for number, note in enumerate(content.notes, 1):
        lines.append(_bullet(note, "yellow", str(number).translate(_SUPERSCRIPT)))
    lines += [_bullet(note, "dim") for note in footnotes]
    return lines


def _shared(pairs: Sequence[tuple[str, str]], width: int) -> Text:
    """`name value` pairs, in lines that are broken between pairs only."""
    text, used = Text(), 0
    for name, value in pairs:
        size = len(name) + 1 + len(value)
        if used and used + 3 + size > width:
            text.append("\n")
            used = 0
        elif used:
            text.append("   ")
            used += 3
        text.append(f"{name} ", "dim").append(value)
        used += size
    return text


def _grid(content: SweepTable, columns: Sequence[TableColumn]) -> Table:
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold", collapse_padding=False)
    for column in columns:
        grid.add_column(
            Text.assemble(column.name, ("\n" + column.unit, "dim")),
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=column.numeric,
            max_width=None if column.numeric else _LONGEST_CELL,
        )
    for row in range(len(content.losses)):
        grid.add_row(*(_cell(content, column, row) for column in columns))
    return grid


def _cell(content: SweepTable, column: TableColumn, row: int) -> Text:
    text = column.cells[row]
    marks = _marks(content, column)
    if any(marks):
        mark = _mark(marks[row])
        # Where there is none its place stays empty, so that numbers stand below each other.
        tail = " " * (1 + max(len(_mark(each)) for each in marks) - len(mark)) + mark if column.numeric else " " + mark
        return Text(text + tail, "yellow" if mark else "")
    return Text(text, "dim" if text == NOTHING else "")


def _marks(content: SweepTable, column: TableColumn) -> tuple[tuple[int, ...], ...]:
    return {"throughput": content.warnings, "trials": content.losses}.get(column.name, ())


def _mark(marks: Sequence[int]) -> str:
    return ",".join(map(str, marks)).translate(_SUPERSCRIPT)


def _fitting(content: SweepTable, width: int) -> tuple[list[TableColumn], list[TableColumn]]:
    """The columns that fit into the width and those given up for it, the least needed first."""
    columns = list(content.columns)
    dropped: list[TableColumn] = []
    while _width(content, columns) > width and any(column.rank for column in columns):
        least = max(columns, key=lambda column: column.rank)
        columns.remove(least)
        dropped.append(least)
    return columns, dropped


def _width(content: SweepTable, columns: Sequence[TableColumn]) -> int:
    def one(column: TableColumn) -> int:
        cells = [len(_cell(content, column, row).plain.rstrip()) for row in range(len(column.cells))]
        widest = max(len(column.name), len(column.unit), *cells)
        return widest if column.numeric else min(widest, _LONGEST_CELL)

    return sum(one(column) + _GAP for column in columns) - _GAP


def _bullet(text: str, style: str, mark: str = "") -> RenderableType:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=2 if len(mark) < 3 else len(mark), justify="right")
    line.add_column(overflow="fold")
    line.add_row(Text(mark, style), Text(text, style))
    return line


def _verdicts(report: Report) -> list[RenderableType]:
    """A line for each expectation that holds, and one for each point at which one does not."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for verdict in report.verdicts:
        groups.setdefault((verdict["sweep"], verdict["expectation"]), []).append(verdict)
    counts = {
        outcome: sum(1 for verdict in report.verdicts if verdict["outcome"] == outcome)
        for outcome in ("pass", "fail", "not judged")
    }
    words = {"pass": "passed", "fail": "failed", "not judged": "not judged"}
    said = ", ".join(f"{count} {words[outcome]}" for outcome, count in counts.items() if count)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    labels = _labels(report)
    many_sweeps = len({point.sweep for point in report.points}) > 1
    for (sweep, expectation), verdicts in groups.items():
        text = f"{sweep}: {expectation}" if many_sweeps else expectation
        passed = [verdict for verdict in verdicts if verdict["outcome"] == "pass"]
        if passed:
            grid.add_row(Text("pass", "green"), text, _passed(passed))
        for verdict in verdicts:
            if verdict["outcome"] == "pass":
                continue
            failed = verdict["outcome"] == "fail"
            grid.add_row(
                Text("FAIL" if failed else "not judged", "bold red" if failed else "yellow"),
                text,
                f"{labels.get(verdict['point_id'], verdict['point_id'])}: {_why(verdict)}",
            )
    return [Text.assemble(("expectations", "bold"), f"  {said}"), Padding(grid, (0, 0, 0, 2))]


def _labels(report: Report) -> dict[str, str]:
    return {
        point.point_id: " ".join(f"{path.rpartition('.')[2]}={value}" for path, value in point.axes.items())
        or "the point"
        for point in report.points
    }


def _passed(verdicts: Sequence[Mapping[str, Any]]) -> str:
    at = f"at {plural(len(verdicts), 'point')}"
    values = [verdict["value"] for verdict in verdicts if verdict["value"] is not None]
    symbol = verdicts[0]["operator"]
    if not values or symbol in ("==", "!="):
        return at
    nearest = min(values) if symbol in (">", ">=") else max(values)
    return f"{at}, the closest {_value(nearest, verdicts[0])}"


def _why(verdict: Mapping[str, Any]) -> str:
    if verdict["value"] is None:
        return str(verdict["reason"])
    return f"{_value(verdict['value'], verdict)}, {verdict['reason']}"


def _value(value: float, verdict: Mapping[str, Any]) -> str:
    info = measure_named(verdict["measure"])
    if info is not None and info.percent:
        return show_percent(value)
    return show_one(int(value) if float(value).is_integer() else value, verdict["unit"])
