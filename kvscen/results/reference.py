"""The reference of the tables and statuses in docs/results.md, made from the schema.

`python -m kvscen.results.reference docs/results.md` brings the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from kvscen.results import schema
from kvscen.results.record import STATUSES
from kvscen.results.schema import Column

_MADE = "<!-- {}: made by kvscen.results.reference -->", "<!-- end of {} -->"

#: What one row of each table is for.
ROWS: Mapping[str, str] = {
    "trials": "each trial of each point",
    "latency": "each bucket of each histogram",
    "timeline": "each interval of each trial",
    "tiers": "each tier of each trial, and each edge between two tiers",
    "steps": "each step of each trial of a matrix",
    "users": "each kind of users of each trial of conversations",
    "found": "each kind of look-up in each trial of conversations, and for each level that had some of it",
    "occupancy": "each level of a cache, now and then in each trial whose requests are known before",
    "workers": "each worker of each trial",
    "verdicts": "each expectation of each point",
    "searches": "each search: each combination of the other axes",
    "candidates": "each point that a search may take and each of its conditions",
}


def columns_markdown() -> str:
    """Every table with its columns, types, units and descriptions."""
    parts = [_table("trials", (*schema.TRIALS, schema.SETTINGS))]
    parts.append(
        "After these come `axis.<path>` for each axis of the run, typed (a size in bytes, a time in ns, a share "
        "between 0 and 1; the unit is in the metadata), and the columns that the run's drivers declare.\n"
    )
    parts += [_table(name, columns) for name, columns in schema.TABLES.items()]
    return "\n".join(parts)


def up_to_date(page: str) -> str:
    """The page with the parts between its marks made anew. ValueError where the marks are missing."""
    for name, made in (("statuses", statuses_markdown()), ("columns", columns_markdown())):
        opening, closing = (mark.format(name) for mark in _MADE)
        before, begin, rest = page.partition(opening)
        _, end, after = rest.partition(closing)
        if not begin or not end:
            raise ValueError(f"the page lacks `{opening}` or `{closing}`")
        page = f"{before}{opening}\n\n{made}\n{closing}{after}"
    return page


def statuses_markdown() -> str:
    rows = (f"| `{status}` | {meaning} |\n" for status, meaning in STATUSES.items())
    return "| status | the trial... |\n|---|---|\n" + "".join(rows)


def _table(name: str, columns: Iterable[Column]) -> str:
    lines = [f"### {name}.parquet: one row for {ROWS[name]}", ""]
    return "\n".join([*lines, *rows(columns)]) + "\n"


def rows(columns: Iterable[Column]) -> list[str]:
    """A table of columns, its head included."""
    lines = ["| column | type | unit | what it is |", "|---|---|---|---|"]
    for column in columns:
        description = column.description.replace("|", "\\|")
        lines.append(f"| `{column.name}` | {type_name(column)} | {column.unit or ''} | {description} |")
    return lines


_TYPES = {"string": "text", "dictionary": "text", "map": "map of text"}


def type_name(column: Column) -> str:
    """The type of a column as the pages call it."""
    return _TYPES.get(column.type, column.type)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(up_to_date(path.read_text("utf-8")), "utf-8")
