"""Whatever happens to the bytes of a trace, it is read or refused with a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvscen.trace import FORMATS, TraceError, open_trace, write_parquet
from tests.trace.support import FILES, write

_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4)


def damaged(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """At each place some bytes are taken out and others put in."""
    for place, length, inserted in edits:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + length :]
    return data


@pytest.mark.parametrize("packing", ["plain", "gzip"])
@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=_EDITS, named=st.booleans(), sort=st.booleans())
def test_any_damage(
    form: str, packing: str, edits: list[tuple[float, int, bytes]], named: bool, sort: bool, tmp_path: Path
) -> None:
    path = tmp_path / "trace"
    data = FILES[form][1].encode()
    if packing == "gzip":
        data = gzip.compress(data, mtime=0)
    path.write_bytes(damaged(data, edits))
    try:
        trace = open_trace(path, form if named else None, sort=sort)
        table = trace.table()
    except TraceError as error:
        assert error.remedy and str(path) in str(error)
        return
    assert table.num_rows and table.column("input_tokens").null_count == 0
    arrivals = [each for each in table.column("arrival_ns").to_pylist() if each is not None]
    assert arrivals == sorted(arrivals)


def test_a_page_that_was_changed_is_found(tmp_path: Path) -> None:
    """Each page has a checksum: a wrong bit is no other trace."""
    trace = open_trace(write(tmp_path, "qwen"))
    path = tmp_path / "t.parquet"
    write_parquet(path, trace.about, trace.batches())
    data, expected = path.read_bytes(), trace.table()
    columns = pq.ParquetFile(path).metadata.row_group(0)
    pages = max(columns.column(i).data_page_offset for i in range(columns.num_columns))
    refused = 0
    for at in range(4, pages, 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            # What tells the checksum's own place is not covered by it; then nothing of the trace is changed.
            assert open_trace(path).table().equals(expected)
        except TraceError as error:
            refused += "is damaged or no complete Parquet file" in str(error)
    assert refused > pages / 3 / 2
