"""Blocks that a composed tier lost between its levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from kvscen.report.numbers import plural

#: (the two levels, how many moves between them failed, the first of these failures)
FailedMoves: TypeAlias = tuple[tuple[str, str], int, str | None]


def failed_moves(rows: Sequence[Mapping[str, Any]]) -> list[FailedMoves]:
    """Of the rows of `Store.edges`."""
    return [
        ((row["tier"], row["to_tier"]), row["errors"], row.get("first_error"))
        for row in rows
        if row.get("to_tier") and row.get("errors")
    ]


def say_lost(moves: Sequence[FailedMoves]) -> str:
    ways = [f"{plural(count, 'block')} from `{source}` to `{target}`" for (source, target), count, _ in moves]
    first = moves[0][2]
    return f"lost between levels of the tier: {', '.join(ways)}" + (f"; the first: {first}" if first else "")
