"""What is wrong with a trace is one sentence with its place, and what to do."""

from __future__ import annotations

from pathlib import Path

import attrs


class TraceError(Exception):
    """A trace cannot be read or written. The message is one sentence that begins with the file and, where there is one,
    the line or record; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@attrs.frozen
class Place:
    """Where a record stands: its line, or its number where records do not stand in lines of their own."""

    path: Path
    line: int = 0
    record: int = 0

    def __str__(self) -> str:
        if self.record:
            return f"{self.path}: record {self.record} (line {self.line})"
        return f"{self.path}:{self.line}"


SORT = "if they may be sorted by time, say so with --sort; otherwise correct the file"


def out_of_order(place: Place, arrival_ns: int, before_ns: int) -> TraceError:
    return TraceError(
        f"{place}: this request came {(before_ns - arrival_ns) / 1e9:.9g} s before the one above it, and requests "
        "stand in the order of their arrival",
        SORT,
    )
