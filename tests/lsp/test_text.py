"""Lines and columns in UTF-16, as editors count them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvscen.lsp.text import Lines, Position, edited

TEXTS = st.text(st.sampled_from('ab{}="# \n\u00e9\u2028\U0001f600\f'), max_size=40)


def test_characters_beyond_the_first_plane_have_two_columns() -> None:
    lines = Lines("a 😀b\n# 😀😀 x\r\nend")
    assert lines.position(3) == Position(0, 4)
    assert lines.offset(Position(0, 4)) == 3
    assert lines.offset(Position(1, 7)) == lines.text.index("x")
    assert lines.position(len(lines.text)) == Position(2, 3)


def test_a_position_behind_the_end_is_the_end() -> None:
    lines = Lines("ab\r\ncd")
    assert lines.offset(Position(0, 99)) == 2
    assert lines.offset(Position(1, 99)) == lines.offset(Position(7, 0)) == 6


@given(TEXTS)
def test_positions_are_those_of_utf_16(text: str) -> None:
    lines = Lines(text)
    for offset in range(len(text) + 1):
        before = text[:offset]
        line = before.rpartition("\n")[2]
        expected = Position(before.count("\n"), len(line.encode("utf-16-le")) // 2)
        assert lines.position(offset) == expected
        assert lines.offset(expected) == offset


@given(TEXTS, st.integers(0, 40), st.integers(0, 40), TEXTS)
def test_an_edit_replaces_what_stands_between(text: str, first: int, second: int, new: str) -> None:
    start, end = sorted((min(first, len(text)), min(second, len(text))))
    lines = Lines(text)
    after = edited(lines, lines.position(start), lines.position(end), new)
    assert after.text == text[:start] + new + text[end:]
