"""Reads a traffic matrix in the format of KVBench: a line for each sender, a cell for each receiver.

A cell is a number of bytes, or a number with K, M, G or B behind it, in either case of letter: powers of 1024. What
does not come out whole is cut off, as KVBench does: its generator writes cells of two decimals (`1.53G`).
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import attrs

from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Source, Span
from kvscen.language.matrix import MOST_RANKS
from kvscen.pattern.matrix import Cells

#: Room for 1024 ranks with long numbers.
MAX_BYTES = 32 << 20
_CELL = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([bkmg]?)", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LONGEST_CELL = 32


@attrs.frozen(eq=False)
class MatrixFile:
    """A file that a scenario names. `cells` is None where something is wrong with it, which `problems` say."""

    name: str
    source: Source
    cells: Cells | None
    problems: tuple[Diagnostic, ...] = ()


def read_matrix(name: str, path: Path) -> MatrixFile:
    """The file at `path`, which the scenario calls `name`. A diagnostic without a place is about the file as a
    whole."""
    text = _text(path)
    if isinstance(text, Diagnostic):
        return MatrixFile(name, Source(str(path), ""), None, (text,))
    source = Source(str(path), text)
    try:
        return MatrixFile(name, source, parse_matrix(source))
    except ScenarioError as error:
        return MatrixFile(name, source, None, error.diagnostics)


def _text(path: Path) -> str | Diagnostic:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        return diagnostic("KVS001", f"{path} {why}", help="paths of matrices are relative to the file that names them")
    if len(data) > MAX_BYTES:
        return diagnostic("KVS220", f"{path} has more than {MAX_BYTES >> 20} MiB", help="is it a traffic matrix?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return diagnostic("KVS220", f"{path} is not text", help="a matrix is lines of numbers such as `0 1.5M 4K`")


def parse_matrix(source: Source) -> Cells:
    """The bytes from each rank to each. Raises ScenarioError with the first problem."""
    rows: list[tuple[int, ...]] = []
    width = 0
    start = 0
    for line in source.text.splitlines(keepends=True):
        found = list(re.finditer(r"\S+", line))
        here, start = start, start + len(line)
        if not found:
            continue
        spans = [Span(source, here + cell.start(), here + cell.end()) for cell in found]
        whole = Span(source, spans[0].start, spans[-1].end)
        width = width or len(found)
        if len(found) != width:
            _wrong(
                whole,
                f"this row has {len(found)} cells, the first one {width}",
                "a matrix has a row and a column for each rank",
            )
        if width > MOST_RANKS:
            _wrong(whole, f"{width:,} cells: a matrix has at most {MOST_RANKS:,} ranks", "use fewer ranks")
        rows.append(tuple(_cell(cell[0], span) for cell, span in zip(found, spans, strict=True)))
        if len(rows) > width:
            _wrong(
                whole,
                f"there are more rows than the {width} of each row's cells",
                "a matrix is square: as many rows as columns",
            )
    end = Span(source, max(start - 1, 0), start)
    if not rows:
        _wrong(
            Span(source, 0, start),
            "there is no matrix in this file",
            "a matrix is lines of numbers such as `0 1.5M 4K`",
        )
    if len(rows) < width:
        _wrong(end, f"there are {len(rows)} rows of {width} cells", "a matrix is square: as many rows as columns")
    if not any(map(any, rows)):
        _wrong(Span(source, 0, 0), "all cells are zero: the step sends nothing", "take its file out of the list")
    return tuple(rows)


def _cell(text: str, span: Span) -> int:
    match = _CELL.fullmatch(text)
    if match is None or len(text) > _LONGEST_CELL:
        hint = (
            "a cell cannot be negative"
            if text.startswith("-")
            else "a cell is a number of bytes, or one with K, M, G or B"
        )
        _wrong(span, f"`{text[:_LONGEST_CELL]}` is not a size", f"{hint}: `0`, `4096`, `1.5M`")
    nbytes = int(Fraction(match[1]) * _FACTORS[match[2].lower()])
    if nbytes >= 1 << 62:
        _wrong(span, f"`{text}` is more than a rank can send", "use a smaller size")
    return nbytes


def _wrong(span: Span, message: str, help: str) -> NoReturn:
    raise problem("KVS220", message, span, help=help)
