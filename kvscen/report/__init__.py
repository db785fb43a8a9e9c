"""What a run's tables say, for people and for programs.

`load_report(folder)` reads a run; `run_table`, `report_json` and `report_csv` say it; `write_report` prints it in a
format.
"""

from __future__ import annotations

from typing import Literal, TextIO, TypeAlias

from kvscen.report.machine import report_csv, report_json, report_object
from kvscen.report.run import Report, load_report
from kvscen.report.table import WIDTH, plain_table, run_table

Format: TypeAlias = Literal["table", "json", "csv"]
FORMATS: tuple[Format, ...] = ("table", "json", "csv")

__all__ = [
    "FORMATS",
    "Format",
    "Report",
    "load_report",
    "plain_table",
    "report_csv",
    "report_json",
    "report_object",
    "run_table",
    "write_report",
]


def write_report(report: Report, format: Format, out: TextIO) -> None:
    """Print a report. A table is as wide as the terminal, and 100 columns wide where there is none."""
    if format == "json":
        out.write(report_json(report))
    elif format == "csv":
        out.write(report_csv(report))
    else:
        from rich.console import Console

        if out.isatty():
            console = Console(file=out, highlight=False)
            console.print(run_table(report, console.width))
        else:
            out.write(plain_table(report, WIDTH))
