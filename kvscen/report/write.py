"""Printing a report in the format that was asked for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TextIO, TypeAlias

from rich.console import Console, RenderableType

from kvscen.report.machine import report_csv, report_json
from kvscen.report.run import Report
from kvscen.report.table import WIDTH, plain_text, run_table

Format: TypeAlias = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")


def write_report(report: Report, format: Format, out: TextIO) -> None:
    """Print a report. A table is as wide as the terminal, and 100 columns wide where there is none."""
    if format == "json":
        out.write(report_json(report))
    elif format == "csv":
        out.write(report_csv(report))
    else:
        write_table(lambda width: run_table(report, width), out)


def write_table(table: Callable[[int], RenderableType], out: TextIO) -> None:
    """Print what `table` makes for a width: that of the terminal, or 100 columns where there is none."""
    if out.isatty():
        console = Console(file=out, highlight=False)
        console.print(table(console.width))
    else:
        out.write(plain_text(table(WIDTH), WIDTH))


def write_rows(rows: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """Print rows as CSV. All have the keys of the first one; there is at least one."""
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
