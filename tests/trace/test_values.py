"""JSON values one after the other: what json.loads gives, wherever the text is cut, and no more of the file than is
needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.trace.errors import TraceError
from kvscen.trace.source import CHUNK_BYTES, open_source
from kvscen.trace.values import values

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@attrs.define
class Cut:
    """A source whose bytes come in pieces of a given length."""

    data: bytes
    length: int
    path: Path = Path("cut")
    given: int = 0

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), self.length):
            self.given = start + self.length
            yield self.data[start : start + self.length]


def read(data: bytes, length: int) -> list[Any]:
    return [value for _, value in values(Cut(data, length))]  # type: ignore[arg-type]


@given(st.lists(_JSON, max_size=5), st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
def test_any_values_cut_anywhere(items: list[Any], length: int, indent: int | None, ascii: bool) -> None:
    array = json.dumps(items, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    assert read(array, length) == items
    # A list as the first value would be the list of values.
    in_lines = [{"value": item} for item in items]
    text = "\n".join(json.dumps(item, indent=indent, ensure_ascii=ascii) for item in in_lines)
    assert read(text.encode("utf-8", "surrogatepass"), length) == in_lines


@given(st.binary(max_size=60), st.integers(1, 8))
def test_any_bytes_are_values_or_a_sentence(data: bytes, length: int) -> None:
    try:
        read(data, length)
    except TraceError as error:
        assert error.remedy


def test_no_more_is_read_than_the_next_value_needs() -> None:
    record = json.dumps({"conversations": ["x" * 1000]}).encode()
    source = Cut(b"[" + b",\n".join([record] * 1000) + b"]", 4096)
    for number, (place, _) in enumerate(values(source)):  # type: ignore[arg-type]
        assert place.record == number + 1 == place.line
        assert source.given <= (number + 1) * (len(record) + 2) + 2 * 4096


def test_a_long_value_over_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{"a": "\n" * CHUNK_BYTES * 3}, {"b": "x"}]))
    found = [value for _, value in values(open_source(path))]
    assert [list(value) for value in found] == [["a"], ["b"]] and len(found[0]["a"]) == CHUNK_BYTES * 3


def test_lines_that_are_cut_by_chunks(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("".join(f"{number}\n" for number in range(400_000)) + "end")
    seen = 1
    text = b""
    for line, block in open_source(path).line_blocks():
        assert line == seen and (block.endswith(b"\n") or block == b"end")
        seen += block.count(b"\n")
        text += block
    assert text == path.read_bytes()


def test_a_text_without_lines_is_no_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen.trace.source._LONGEST_LINE_BYTES", 2 * CHUNK_BYTES)
    path = tmp_path / "long"
    path.write_bytes(b"x" * CHUNK_BYTES * 4)
    with pytest.raises(TraceError, match=r"long:1: this line has more than 256 MiB"):
        list(open_source(path).line_blocks())


def test_a_record_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvscen.trace.values.LONGEST_RECORD", 10_000)
    with pytest.raises(TraceError, match=r"cut:1: this record has more than 256 MiB"):
        read(b'{"a": "' + b"x" * 100_000, 100)
