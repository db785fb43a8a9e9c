"""Reading a traffic matrix in KVBench's format."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.language.diagnose import ScenarioError, Source
from kvscen.pattern.matrix_file import parse_matrix, read_matrix

UNITS = {"": 1, "B": 1, "b": 1, "K": 1 << 10, "k": 1 << 10, "M": 1 << 20, "m": 1 << 20, "G": 1 << 30, "g": 1 << 30}


@st.composite
def squares(draw: st.DrawFn) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """The text of a matrix, however its blanks lie, and what it says."""
    side = draw(st.integers(1, 6))
    blank = st.sampled_from([" ", "  ", "\t", " \t "])
    rows, lines = [], []
    for _ in range(side):
        cells = [draw(st.tuples(st.integers(0, 9999), st.sampled_from(list(UNITS)))) for _ in range(side)]
        rows.append(tuple(number * UNITS[unit] for number, unit in cells))
        line = draw(st.sampled_from(["", " "]))
        for number, unit in cells:
            line += f"{number}{unit}{draw(blank)}"
        lines.append(line + draw(st.sampled_from(["", "\r"])))
    text = draw(st.sampled_from(["", "\n"])) + draw(st.sampled_from(["\n", "\n\n"])).join(lines)
    return text, tuple(rows)


@given(squares())
def test_what_is_written_is_read(square: tuple[str, tuple[tuple[int, ...], ...]]) -> None:
    text, rows = square
    if any(map(any, rows)):
        assert parse_matrix(Source("m.txt", text)) == rows
    else:
        with pytest.raises(ScenarioError, match=r".*"):
            parse_matrix(Source("m.txt", text))


@given(st.text(alphabet="0123456789.KMGB -+eE\n\tx", max_size=60))
def test_any_text_is_a_square_or_a_problem_with_its_place(text: str) -> None:
    try:
        cells = parse_matrix(Source("m.txt", text))
    except ScenarioError as error:
        assert [item.code for item in error.diagnostics] == ["KVS220"]
        span = error.diagnostics[0].span
        assert span is not None and 0 <= span.start <= span.end <= len(text)
        return
    assert all(len(row) == len(cells) for row in cells)
    assert any(map(any, cells))


def test_cells_of_its_generator() -> None:
    # matgen writes two decimals; KVBench cuts off what is no whole byte.
    assert parse_matrix(Source("m", "0 1.53G\n.5k 7B\n")) == ((0, 1642824990), (512, 7))


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("0 1\n0 -5\n", "`-5` is not a size", (2, 3)),
        ("0 1\n0 5T\n", "`5T` is not a size", (2, 3)),
        ("0 1\n0 1e6\n", "`1e6` is not a size", (2, 3)),
        ("0 1 2\n0 1\n", "this row has 2 cells, the first one 3", (2, 1)),
        ("0 1\n", "there are 1 rows of 2 cells", (1, 4)),
        ("0 1\n1 0\n1 0\n", "there are more rows than the 2 of each row's cells", (3, 1)),
        ("\n \n", "there is no matrix in this file", (1, 1)),
        ("0 0\n0 0\n", "all cells are zero: the step sends nothing", (1, 1)),
        ("99999999999G 0\n0 0\n", "`99999999999G` is more than a rank can send", (1, 1)),
    ],
)
def test_what_is_wrong_and_where(text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_matrix(Source("m.txt", text))
    [said] = caught.value.diagnostics
    assert said.message == message
    assert said.span is not None and said.span.source.position(said.span.start) == place


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = read_matrix("m.txt", tmp_path / "m.txt")
    assert missing.cells is None and missing.problems[0].code == "KVS001"
    assert "does not exist" in missing.problems[0].message
    (tmp_path / "m.bin").write_bytes(b"\xff\xfe\x00")
    noise = read_matrix("m.bin", tmp_path / "m.bin")
    assert noise.cells is None and noise.problems[0].message.endswith("is not text")
    folder = read_matrix(".", tmp_path)
    assert folder.cells is None and "cannot be read" in folder.problems[0].message
