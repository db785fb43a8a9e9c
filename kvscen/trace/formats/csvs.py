"""CSV traces with lengths and times only: Azure's and BurstGPT.

Azure (2023, 2024, 2025): TIMESTAMP, ContextTokens, GeneratedTokens; a date and time, with a zone or without.
BurstGPT: Timestamp (seconds), Model, Request tokens, Response tokens, Total tokens, Log Type, and in its third part
Session ID and Elapsed time. Neither has block ids: what a prompt shares with another is not known, so every request has
blocks of its own and a cache finds nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kvscen.trace.canonical import SCHEMA, Arrivals, Int64s, Numbers
from kvscen.trace.errors import Place, TraceError, out_of_order
from kvscen.trace.formats.form import Format, Wishes
from kvscen.trace.source import Source

_NO_REUSE = "no block ids and no text: every request has blocks of its own, and nothing is found again"
_LARGEST = 2**63 - 1


@attrs.frozen
class _Columns:
    """The columns of a format by their meaning, and how its times are read: many at once, or one to see what is wrong
    with it (ValueError)."""

    time: str
    input: str
    output: str
    type: str | None
    model: str | None
    session: str | None
    times: Callable[[pa.Array], pa.Array]
    wanted_time: str


def _azure_times(values: pa.Array) -> pa.Array:
    """Of dates and times; those without a zone are UTC."""
    zoned = pc.match_substring_regex(values, r"(Z|[+-]\d\d:?\d\d)$")
    values = pc.binary_join_element_wise(values, pc.if_else(zoned, "", "Z"), "")
    return pc.cast(pc.cast(values, pa.timestamp("ns", "UTC")), pa.int64())


def _burstgpt_times(values: pa.Array) -> pa.Array:
    return pc.cast(pc.round(pc.multiply(pc.cast(values, pa.float64()), 1e9)), pa.int64())


_AZURE = _Columns(
    "TIMESTAMP",
    "ContextTokens",
    "GeneratedTokens",
    None,
    None,
    None,
    _azure_times,
    "a date and time such as 2023-11-16 18:15:46.680590",
)
_BURSTGPT = _Columns(
    "Timestamp",
    "Request tokens",
    "Response tokens",
    "Log Type",
    "Model",
    "Session ID",
    _burstgpt_times,
    "seconds such as 5.25",
)


@attrs.frozen
class _Block:
    """Whole lines below the header, the first of them numbered `line`."""

    source: Source
    header: list[str]
    line: int
    data: bytes


def _reader(columns: _Columns) -> Callable[[Source, Wishes], Iterator[pa.RecordBatch]]:
    def read(source: Source, wishes: Wishes) -> Iterator[pa.RecordBatch]:
        arrivals, sessions = Arrivals(wishes.sort), Numbers()
        turns: dict[int, int] = {}
        for block in _blocks(source, columns):
            table = _parse(block, columns)
            if not len(table):
                continue
            try:
                times, inputs, outputs = _figures(table, columns)
            except (pa.ArrowException, ValueError) as error:
                raise _find_wrong(block, columns, str(error)) from error
            since, back = arrivals.next_many(times)
            if back is not None:
                before = times[back - 1] if back else arrivals.last_ns
                raise out_of_order(Place(source.path, _line_of(block, back)), int(times[back]), int(before))
            session = _sessions(table, columns, sessions)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(since),
                    pa.array(session, pa.int64()),
                    pa.array(_turns(session, turns), pa.int32()),
                    pa.array(inputs),
                    pa.array(outputs),
                    _words(table, columns.type, "type"),
                    _words(table, columns.model, "model"),
                    pa.nulls(len(table), SCHEMA.field("block_ids").type),
                ],
                schema=SCHEMA,
            )

    return read


def header_of(line: bytes) -> list[str]:
    """The names in the first line of a CSV file."""
    text = line.decode("utf-8-sig", "replace")
    return [name.strip() for name in _cells(text)]


def _cells(text: str) -> list[str]:
    try:
        return next(csv.reader([text]), [])
    except csv.Error:  # no line of a CSV file
        return [text]


def _blocks(source: Source, columns: _Columns) -> Iterator[_Block]:
    header: list[str] = []
    for line, data in source.line_blocks():
        if not header:
            first, _, data = data.partition(b"\n")
            header = header_of(first)
            missing = next((c for c in (columns.time, columns.input, columns.output) if c not in header), None)
            if missing is not None:
                raise TraceError(
                    f"{source.path}:1: the column `{missing}` is missing; there is {', '.join(header) or 'nothing'}",
                    "correct the header, or name its --format",
                )
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                raise TraceError(f"{source.path}:1: the column `{twice}` is there twice", "take one of them out")
            line = 2
        yield _Block(source, header, line, data)


def _parse(block: _Block, columns: _Columns) -> pa.Table:
    if not block.data.strip():
        return pa.table({name: pa.array([], pa.string()) for name in block.header})
    try:
        return pa.csv.read_csv(
            io.BytesIO(block.data),
            read_options=pa.csv.ReadOptions(column_names=block.header, use_threads=False),
            convert_options=pa.csv.ConvertOptions(column_types={name: pa.string() for name in block.header}),
        ).combine_chunks()
    except pa.ArrowException as error:
        raise _find_wrong(block, columns, str(error)) from error


def _figures(table: pa.Table, columns: _Columns) -> tuple[Int64s, Int64s, Int64s]:
    """(times in ns, input, output). ArrowException or ValueError for what is none."""
    times = _int64s(columns.times(_column(table, columns.time)))
    inputs, outputs = (_int64s(pc.cast(_column(table, each), pa.int64())) for each in (columns.input, columns.output))
    if times.min() < 0 or inputs.min() < 0 or outputs.min() < 0:
        raise ValueError("a figure is negative")
    return times, inputs, outputs


def _column(table: pa.Table, name: str) -> pa.Array:
    column = pc.utf8_trim_whitespace(table.column(name))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _int64s(values: pa.Array) -> Int64s:
    made: Int64s = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return made


def _words(table: pa.Table, name: str | None, field: str) -> pa.Array:
    kind = SCHEMA.field(field).type
    if name is None or name not in table.column_names:
        return pa.nulls(len(table), kind)
    words = _column(table, name)
    return pc.cast(pc.if_else(pc.equal(words, ""), pa.scalar(None, pa.string()), words).dictionary_encode(), kind)


def _sessions(table: pa.Table, columns: _Columns, sessions: Numbers) -> list[int | None]:
    if columns.session is None or columns.session not in table.column_names:
        return [None] * len(table)
    return [sessions.of(name) if name else None for name in _column(table, columns.session).to_pylist()]


def _turns(session: list[int | None], turns: dict[int, int]) -> list[int | None]:
    made: list[int | None] = []
    for each in session:
        if each is not None:
            turns[each] = turns.get(each, 0) + 1
        made.append(None if each is None else turns[each])
    return made


# ---- what is wrong, and where: read again line by line


def _lines(block: _Block) -> Iterator[tuple[Place, list[str]]]:
    for number, line in enumerate(block.data.split(b"\n"), start=block.line):
        place = Place(block.source.path, number)
        try:
            text = line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise TraceError(f"{place}: this is no UTF-8 text ({error.reason})", "save the file as UTF-8") from error
        if text:
            yield place, _cells(text)


def _line_of(block: _Block, row: int) -> int:
    filled = [number for number, line in enumerate(block.data.split(b"\n"), start=block.line) if line.strip(b"\r")]
    return filled[row]


def _find_wrong(block: _Block, columns: _Columns, otherwise: str) -> TraceError:
    for place, values in _lines(block):
        if len(values) != len(block.header):
            return TraceError(
                f"{place}: here are {len(values)} values, and the header names {len(block.header)} columns",
                "correct the line",
            )
        row = dict(zip(block.header, (value.strip() for value in values), strict=True))
        for name in (columns.input, columns.output):
            if not row[name].isdecimal() or int(row[name]) > _LARGEST:
                return TraceError(
                    f"{place}: `{name}` is {row[name]!r}, and a whole number from 0 on is expected", "correct the line"
                )
        wrong = f"{place}: `{columns.time}` is {row[columns.time]!r}, and "
        try:
            time_ns = columns.times(pa.array([row[columns.time]]))[0].as_py()
        except pa.ArrowException:
            return TraceError(wrong + f"{columns.wanted_time} is expected", "correct the line")
        if time_ns < 0:
            return TraceError(wrong + "a time from 0 on is expected", "correct the line")
    return TraceError(f"{block.source.path}: from line {block.line} on: {otherwise}", "correct the file")


AZURE = Format(
    "azure",
    "an Azure LLM inference trace",
    "none",
    None,
    _reader(_AZURE),
    notes=(_NO_REUSE,),
    is_header=lambda names: bool({"ContextTokens", "GeneratedTokens"} & names),
)
BURSTGPT = Format(
    "burstgpt",
    "a BurstGPT trace",
    "none",
    None,
    _reader(_BURSTGPT),
    notes=(_NO_REUSE, "a request with 0 output tokens failed"),
    is_header=lambda names: bool({"Request tokens", "Response tokens"} & names),
)
