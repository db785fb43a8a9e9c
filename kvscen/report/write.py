"""Printing a report in the format that was asked for."""

from __future__ import annotations

from typing import Literal, TextIO, TypeAlias

from rich.console import Console

from kvscen.report.machine import report_csv, report_json
from kvscen.report.run import Report
from kvscen.report.table import WIDTH, plain_table, run_table

Format: TypeAlias = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")


def write_report(report: Report, format: Format, out: TextIO) -> None:
    """Print a report. A table is as wide as the terminal, and 100 columns wide where there is none."""
    if format == "json":
        out.write(report_json(report))
    elif format == "csv":
        out.write(report_csv(report))
    elif out.isatty():
        console = Console(file=out, highlight=False)
        console.print(run_table(report, console.width))
    else:
        out.write(plain_table(report, WIDTH))
