"""The tables that a person reads in a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.columns import SweepTable, TableColumn, tables_of
from kvscen.report.numbers import NOTHING, plural, show_one, show_percent
from kvscen.report.run import Report
from kvscen.report.searches import search_lines
from kvscen.report.steps import steps_notes, steps_tables
from kvscen.report.talk import talk_notes, talk_tables
from kvscen.results.measures import measure_named

#: The width for which tables are made where the terminal's is not known.
WIDTH = 100

_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")
_GAP = 2
#: Where room is short, texts are broken after so many characters.
_LONGEST_CELL = 28


def run_table(report: Report, width: int = WIDTH) -> RenderableType:
    """The whole report: for each sweep what its points share, the table and its notes; then the verdicts."""
    parts: list[RenderableType] = []
    for table in tables_of(report):
        parts += [*_sweep(report, table, width), Text()]
    if not report.points:
        parts += [Text("no trial has ended"), Text()]
    if report.searches:
        parts += [*search_lines(report), Text()]
    if report.verdicts:
        parts += [*_verdicts(report), Text()]
    for note in report.notes:
        parts.append(bullet(note, "yellow"))
    parts.append(Text(f"{plural(report.trials_ended, 'trial')} in {report.folder}", "dim"))
    return Group(*parts)


def plain_table(report: Report, width: int = WIDTH) -> str:
    """The report as text without colours and without blanks at the ends of lines."""
    return plain_text(run_table(report, width), width)


def plain_text(table: RenderableType, width: int) -> str:
    """A table as text without colours and without blanks at the ends of lines."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, color_system=None, legacy_windows=False).print(table)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def _sweep(report: Report, content: SweepTable, width: int) -> list[RenderableType]:
    head = Text.assemble((report.scenario, "bold"), "  sweep ", (content.sweep, "bold"))
    lines: list[RenderableType] = [head]
    if content.shared:
        lines.append(Padding(facts_text(content.shared, width - 2), (0, 0, 0, 2)))
    columns, longest = _fitting(content, width - 2)
    body = _grid(content, columns, longest) if columns else _stack(content, width - 4)
    lines += [Text(), Padding(body, (0, 0, 0, 2))]
    dropped = [column for column in content.columns if columns and column not in columns]
    footnotes = [*content.footnotes]
    if dropped:
        names = ", ".join(column.name for column in dropped)
        footnotes.append(f"left out for want of width: {names}; --format csv has everything")
    lines += [*steps_tables(report, content.sweep), *talk_tables(report, content.sweep)]
    footnotes += [*steps_notes(report, content.sweep), *talk_notes(report, content.sweep)]
    lines.append(Text())
    for number, note in enumerate(content.notes, 1):
        lines.append(bullet(note, "yellow", str(number).translate(_SUPERSCRIPT)))
    lines += [bullet(note, "dim") for note in footnotes]
    return lines


def facts_text(pairs: Sequence[tuple[str, str]], width: int) -> Text:
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


def _grid(content: SweepTable, columns: Sequence[TableColumn], longest: int) -> Table:
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold", collapse_padding=False)
    for column in columns:
        grid.add_column(
            Text.assemble(column.name, ("\n" + column.unit, "dim")),
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=column.numeric,
            # As wide as `_width` reckons: rich must never cut a number to make room.
            width=_column_width(content, column, longest),
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


def _stack(content: SweepTable, width: int) -> RenderableType:
    """The points one below the other: for a terminal in which not even the columns that matter have room."""
    parts: list[RenderableType] = []
    for row, label in enumerate(content.labels):
        pairs = [
            (column.name, f"{_cell(content, column, row).plain.strip()} {column.unit}".strip())
            for column in content.columns
        ]
        parts += [Text(label, "bold"), Padding(facts_text(pairs, width), (0, 0, 0, 2))]
    return Group(*parts)


def _fitting(content: SweepTable, width: int) -> tuple[list[TableColumn], int]:
    """The columns that fit into the width, the least needed given up first, and how long their texts may be on a line.
    No column at all where those that matter have no room."""
    columns = list(content.columns)
    if _width(content, columns, width) <= width:
        return columns, width
    while _width(content, columns, _LONGEST_CELL) > width:
        least = max(columns, key=lambda column: column.rank)
        if not least.rank:
            return [], _LONGEST_CELL
        columns.remove(least)
    return columns, _LONGEST_CELL


def _width(content: SweepTable, columns: Sequence[TableColumn], longest: int) -> int:
    return sum(_column_width(content, column, longest) + _GAP for column in columns) - _GAP


def _column_width(content: SweepTable, column: TableColumn, longest: int) -> int:
    """The width of a column whose texts are broken after `longest` characters; numbers never are."""
    widest = max(len(_cell(content, column, row).plain) for row in range(len(column.cells)))
    heads = max(len(column.name), len(column.unit))
    return max(heads, widest if column.numeric else min(longest, widest))


def bullet(text: str, style: str, mark: str = "") -> RenderableType:
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
    lines: list[RenderableType] = [Text.assemble(("expectations", "bold"), f"  {said}")]
    many_sweeps = len({sweep for sweep, _ in groups}) > 1
    for (sweep, expectation), verdicts in groups.items():
        text = expectation.removeprefix("expect ")
        lines.append(Padding(Text(f"{sweep}: {text}" if many_sweeps else text), (0, 0, 0, 2)))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column()
        grid.add_column(overflow="fold")
        for outcome, sentence in _outcomes(report, verdicts):
            label, style = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red")}.get(outcome, (outcome, "yellow"))
            grid.add_row(Text(label, style), sentence)
        lines.append(Padding(grid, (0, 0, 0, 4)))
    return lines


def _outcomes(report: Report, verdicts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(outcome, sentence): one for all points that passed, one for each that failed, one for each reason without a
    value."""
    passed = [verdict for verdict in verdicts if verdict["outcome"] == "pass"]
    if passed:
        yield "pass", _passed(passed)
    without: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        label = report.labels.get(verdict["point_id"], verdict["point_id"])
        if verdict["value"] is None and verdict["outcome"] != "pass":
            without.setdefault((verdict["outcome"], verdict["reason"]), []).append(label)
        elif verdict["outcome"] == "fail":
            yield "fail", f"{label}: {_value(verdict['value'], verdict)}, {verdict['reason']}"
    for (outcome, reason), labels in without.items():
        yield outcome, f"{'; '.join(labels)}: {reason}"


def _passed(verdicts: Sequence[Mapping[str, Any]]) -> str:
    at = plural(len(verdicts), "point")
    values = [verdict["value"] for verdict in verdicts if verdict["value"] is not None]
    symbol = verdicts[0]["operator"]
    if not values or symbol in ("==", "!="):
        return at
    nearest = min(values) if symbol in (">", ">=") else max(values)
    return f"{at}, the closest {_value(nearest, verdicts[0])}"


def _value(value: float, verdict: Mapping[str, Any]) -> str:
    info = measure_named(verdict["measure"])
    if info is not None and info.percent:
        return show_percent(value)
    return show_one(int(value) if float(value).is_integer() else value, verdict["unit"])
