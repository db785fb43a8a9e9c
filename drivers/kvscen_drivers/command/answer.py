"""What a tool says: the last line of its stdout that is a JSON object gives measures by their columns in
trials.parquet.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from kvscen.plugin import MEASURES, MeasureInfo
from kvscen_drivers.program import last_line, tail

Measures: TypeAlias = "dict[str, int | float | str | None]"

# How much of the end of stdout is searched: a tool may print a long log before its result.
_TAIL_BYTES = 1 << 20
_INT64 = range(-(2**63), 2**63)
# Ours alone: what has been verified is for the core to say, and a tool's bytes do not pass through it.
_OURS = frozenset({"verified_bytes"})

#: What a tool may report, by column.
COLUMNS: Mapping[str, MeasureInfo] = {
    measure.column: measure for measure in MEASURES.values() if measure.column not in _OURS
}


class BadAnswer(ValueError):
    """The tool's answer cannot be used; one sentence."""


def read_answer(stdout: Path) -> Measures:
    """The measures that a tool printed. Raises BadAnswer."""
    answer = _last_object(tail(stdout, _TAIL_BYTES))
    if answer is None:
        said = last_line(stdout)
        raise BadAnswer(
            "it printed no line that is a JSON object"
            + (f"; its last line: {said}" if said else "; its stdout is empty")
        )
    if not any(value is not None for value in answer.values()):
        raise BadAnswer("its JSON object holds no measure")
    return {name: _checked(name, value) for name, value in answer.items()}


def _last_object(text: str) -> dict[str, Any] | None:
    for line in reversed(text.splitlines()):
        line = line.strip()
        if not line.startswith("{"):
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _checked(name: str, value: Any) -> int | float | str | None:
    if name in _OURS:
        raise BadAnswer(f"it reports `{name}`, which only kvscen can know")
    if name not in COLUMNS:
        close = difflib.get_close_matches(name, COLUMNS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "a measure is named like its column in trials.parquet"
        raise BadAnswer(f"it reports `{name}`, which is no measure: {hint}")
    if value is None:
        return None
    column = COLUMNS[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadAnswer(f"it reports {_show(value)} for `{name}`, which is a number")
    if not math.isfinite(value):
        raise BadAnswer(f"it reports {_show(value)} for `{name}`, which is no measurement")
    if value < 0:
        raise BadAnswer(f"it reports {_show(value)} for `{name}`, which is never below 0")
    if column.type == "float64":
        return float(value)
    if not isinstance(value, int) or value not in _INT64:
        raise BadAnswer(f"it reports {_show(value)} for `{name}`, which is a whole number of at most 63 bits")
    return value


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
