"""A piece of text that the grammar refused, as words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.scan import Word

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
OPERATORS = ("+", "-", "*", "/")


@attrs.frozen
class Wrong:
    """A piece that was read as `start`, in words without newlines.

    The grammar stopped at word number `at`, which is `len(words)` where the piece ended too early.
    """

    source: Source
    start: str
    words: Sequence[Word]
    at: int
    end: int
    expected: frozenset[str]

    def text(self, index: int) -> str:
        return self.words[index].text if 0 <= index < len(self.words) else ""

    def kind(self, index: int) -> str:
        return self.words[index].kind if 0 <= index < len(self.words) else ""

    def span(self, first: int, last: int | None = None) -> Span:
        """From one word to another; behind the last word it is empty."""
        if first >= len(self.words):
            return Span(self.source, self.end, self.end)
        last = first if last is None else min(last, len(self.words) - 1)
        return Span(self.source, self.words[first].start, self.words[last].end)

    def adjacent(self, index: int) -> bool:
        """No space stands between this word and the next."""
        return 0 <= index < len(self.words) - 1 and self.words[index].end == self.words[index + 1].start

    def depth(self, index: int) -> list[int]:
        """The brackets that are open before a word."""
        opened: list[int] = []
        for i in range(min(index, len(self.words))):
            if self.text(i) in ("(", "["):
                opened.append(i)
            elif self.text(i) in (")", "]") and opened:
                opened.pop()
        return opened

    def path_end(self, index: int) -> int:
        """The index behind `a.b.c` that begins here; `index` where none does."""
        if self.kind(index) != "name":
            return index
        index += 1
        while self.text(index) == "." and self.kind(index + 1) == "name":
            index += 2
        return index

    @property
    def judges(self) -> bool:
        """It is a `skip when`, an `expect` or a `find`: signs compare here, they fix nothing."""
        return self.start == "statement" and (
            self.text(0) == "skip" or (self.text(0) in ("expect", "find") and self.text(1) not in ("=", "in", "."))
        )


Mistake: TypeAlias = Callable[[Wrong], Diagnostic | None]
