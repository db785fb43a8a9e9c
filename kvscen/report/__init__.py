"""What a run's tables say, for people and for programs.

`load_report(folder)` reads a run; `run_table`, `report_json` and `report_csv` say it; `write_report` prints it.
Names are imported when they are asked for: a verb that only wants `kvscen.report.numbers` does not pay for pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvscen.report.machine import report_csv, report_json, report_object
    from kvscen.report.run import Report, load_report
    from kvscen.report.table import plain_table, run_table
    from kvscen.report.write import FORMATS, Format, write_report

_HOMES = {
    "FORMATS": "write",
    "Format": "write",
    "Report": "run",
    "load_report": "run",
    "plain_table": "table",
    "report_csv": "machine",
    "report_json": "machine",
    "report_object": "machine",
    "run_table": "table",
    "write_report": "write",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
