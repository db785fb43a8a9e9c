"""A table of columns for the terminal, as far as they have room."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from kvscen.report.columns import TableColumn
from kvscen.report.numbers import NOTHING


def fitting(columns: Sequence[TableColumn], width: int) -> list[TableColumn]:
    """The columns that have room, the least needed given up first, of several the last: rich would cut numbers."""
    kept = list(columns)
    while sum(2 + max(map(len, (column.name, *column.cells))) for column in kept) - 2 > width:
        least = max(reversed(kept), key=lambda column: column.rank)
        if not least.rank:
            break
        kept.remove(least)
    return kept


def grid_of(columns: Sequence[TableColumn]) -> Table:
    """A row for each cell."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        head = Text.assemble(column.name, ("\n" + column.unit, "dim"))
        grid.add_column(head, justify="right" if column.numeric else "left", no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*(Text(cell, "dim" if cell == NOTHING else "") for cell in cells))
    return grid
