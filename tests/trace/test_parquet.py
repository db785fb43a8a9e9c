"""Parquet of a trace: the same rows and blocks, described, complete or not there."""

from __future__ import annotations

import errno
import os
from array import array
from pathlib import Path

import duckdb
import polars
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.trace import COLUMNS, FORMATS, Counter, TraceError, open_trace, write_parquet
from kvscen.trace.canonical import About, Rows
from tests.trace.support import write


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read(form: str, tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, form))
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    again = open_trace(path)
    assert again.about == trace.about
    assert again.table().equals(trace.table())
    assert again.schema.equals(trace.schema, check_metadata=True)
    size = None if trace.about.block_tokens else 16
    assert again.blocks(size).ids.tolist() == trace.blocks(size).ids.tolist()
    copied = tmp_path / "copy.parquet"
    write_parquet(copied, again.about, again.batches())
    assert copied.read_bytes() == path.read_bytes()


def test_columns_say_what_they_are(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "qwen"))
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    schema = pq.read_schema(path)
    assert schema.metadata[b"kvscen.trace.block_tokens"] == b"16" and schema.metadata[b"kvscen.trace.version"] == b"1"
    for column in COLUMNS:
        described = schema.field(column.name).metadata
        assert described[b"description"].decode() == column.description
        assert described.get(b"unit") == (column.unit.encode() if column.unit else None)


def test_others_can_read_it(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "mooncake"))
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    ids = [[0, 1, 2], [0, 3], [0, 1, 4]]
    assert polars.read_parquet(path)["block_ids"].to_list() == ids
    assert [row[0] for row in duckdb.sql(f"select block_ids from '{path}'").fetchall()] == ids


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "mooncake")
    path.write_text(path.read_text() * 5000)  # times go back at the fourth line, far from the end of a batch
    trace = open_trace(path)
    with pytest.raises(TraceError, match=r"m.jsonl:4: this request came 2 s before"):
        write_parquet(tmp_path / "t.parquet", trace.about, trace.batches())
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = open_trace(write(tmp_path, "mooncake"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TraceError, match=r"cannot write .*t.parquet: No space left on device \(ENOSPC\)"):
        write_parquet(tmp_path / "t.parquet", trace.about, trace.batches())
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


def test_a_damaged_row_group_is_said(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "mooncake"))
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(TraceError, match="is damaged or no complete Parquet file"):
        open_trace(path).table()


_REQUESTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 9), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)),
    min_size=1,
    max_size=20,
)


@given(_REQUESTS, st.integers(1, 20))
def test_counts_are_those_of_all_batches(requests: list[tuple[int, int, list[int]]], batch: int) -> None:
    about = About("mooncake", "x", 64)
    counter, rows = Counter(about), Rows()
    for tokens, session, ids in requests:
        rows.add(0, tokens, 1, array("q", ids), session=session)
        if len(rows) >= batch:
            counter.add(rows.take())
    if len(rows):
        counter.add(rows.take())
    found = counter.summary()
    every = [each for _, _, ids in requests for each in ids]
    assert (found.requests, found.output_tokens) == (len(requests), len(requests))
    assert found.input_tokens == sum(tokens for tokens, _, _ in requests)
    assert (found.block_lookups, found.unique_blocks) == (len(every), len(set(every)))
    assert found.sessions == max(session for _, session, _ in requests) + 1
    odd = [1 for tokens, _, ids in requests if not (len(ids) - 1) * 64 < tokens < (len(ids) + 1) * 64]
    assert found.odd_requests == len(odd)
    assert found.reuse_ratio == (1 - len(set(every)) / len(every) if every else None)


def test_unique_blocks_are_merged_as_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen.trace.summary._MERGED_AT_LEAST", 100)
    counter, rows = Counter(About("mooncake", "x", 1)), Rows()
    for first in range(0, 5000, 50):
        rows.add(0, 60, 1, array("q", range(first, first + 60)))
        counter.add(rows.take())
    assert (counter.summary().unique_blocks, counter.summary().block_lookups) == (5010, 6000)
