"""A text as an editor counts it: lines, and columns in UTF-16 code units, both from 0."""

from __future__ import annotations

import bisect
import re

import attrs


@attrs.frozen(order=True)
class Position:
    line: int
    character: int


@attrs.frozen(eq=False)
class Lines:
    """Where the lines of a text begin. As everywhere in the language a line ends with a newline alone: what else
    editors take for an end of line (U+2028, form feeds) is a character like others."""

    text: str
    _starts: list[int] = attrs.field(init=False, repr=False)

    @_starts.default
    def _find_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def offset(self, position: Position) -> int:
        """The character at a position. One behind the end of its line, or of the text, is taken to be that end."""
        if position.line >= len(self._starts):
            return len(self.text)
        start, end = self._line(position.line)
        line = self.text[start:end]
        if line.isascii():
            return start + min(position.character, len(line))
        units = 0
        for index, character in enumerate(line):
            if units >= position.character:
                return start + index
            units += 2 if character > "\uffff" else 1
        return end

    def position(self, offset: int) -> Position:
        offset = min(max(offset, 0), len(self.text))
        line = bisect.bisect_right(self._starts, offset) - 1
        before = self.text[self._starts[line] : offset]
        wide = 0 if before.isascii() else sum(character > "\uffff" for character in before)
        return Position(line, len(before) + wide)

    def _line(self, number: int) -> tuple[int, int]:
        """The stretch of a line without its newline."""
        start = self._starts[number]
        if number + 1 == len(self._starts):
            return start, len(self.text)
        end = self._starts[number + 1] - 1
        return start, end - 1 if self.text[start:end].endswith("\r") else end


def edited(lines: Lines, start: Position, end: Position, text: str) -> Lines:
    """The text with what stands between two positions replaced."""
    first, last = lines.offset(start), lines.offset(end)
    return Lines(lines.text[:first] + text + lines.text[max(first, last) :])
