"""Looks ahead in a text that the grammar refused: where its pieces begin and end, as far as that can be guessed."""

from __future__ import annotations

import attrs

from kvscen.language.diagnose import Source, Span
from kvscen.language.scan import FINDS, Word


@attrs.define
class Ahead:
    """The words of a text, and what they look like from one of them on. Behind the last word is the end of a line."""

    source: Source
    words: list[Word]

    def text(self, index: int) -> str:
        return self.words[index].text if index < len(self.words) else ""

    def kind(self, index: int) -> str:
        return self.words[index].kind if index < len(self.words) else "newline"

    def span(self, first: int, last: int | None = None) -> Span:
        return Span(self.source, self.words[first].start, self.words[first if last is None else last].end)

    def past_newlines(self, index: int) -> int:
        while index < len(self.words) and self.words[index].kind == "newline":
            index += 1
        return index

    def is_assignment(self, index: int) -> bool:
        """`a.b =` or `a.b in`."""
        if self.kind(index) != "name":
            return False
        index += 1
        while self.text(index) == "." and self.kind(index + 1) == "name":
            index += 2
        return self.text(index) in ("=", "in")

    def is_item(self, index: int) -> bool:
        """`tier x :`, `tier x {`, `let x =`, `use models`."""
        if self.kind(index) != "name":
            return False
        word, after = self.text(index), self.text(index + 2)
        if word == "let":
            return self.kind(index + 1) == "name" and after == "="
        if word == "use":
            return self.kind(index + 1) in ("name", "string") and self.kind(index + 2) == "newline"
        named = self.kind(index + 1) == "name" and not (self.text(index + 1) == "in" and after == "{")
        return named and after in (":", "{")

    def is_start(self, index: int) -> bool:
        """Surely not the continuation of a value in brackets."""
        index = self.past_newlines(index)
        if self.text(index) == "}" or self.is_assignment(index) or self.is_item(index):
            return True
        word, after = self.text(index), self.text(index + 1)
        return (
            (word, after) == ("skip", "when")
            or (word == "expect" and self.kind(index + 1) == "name")
            or (word == "find" and after in FINDS)
        )

    def ends_line(self, index: int) -> bool:
        return self.kind(index) == "newline" or self.text(index) == "}"

    def piece_end(self, index: int) -> tuple[int, int | None]:
        """(the index behind the piece that begins here, the bracket that is open there and will not be closed)."""
        open_brackets: list[int] = []
        while index < len(self.words):
            word = self.words[index]
            if word.kind == "open_string":
                # It may have swallowed the closing bracket.
                end = next((i for i in range(index, len(self.words)) if self.ends_line(i)), len(self.words))
                return end, None
            if word.kind == "newline" or (word.text == ";" and open_brackets):
                if not open_brackets or self.is_start(index + 1):
                    break
            elif word.text in ("(", "["):
                open_brackets.append(index)
            elif word.text in (")", "]"):
                if open_brackets:
                    open_brackets.pop()
            elif word.text == "{" and open_brackets and self.skip_braces(index) > index + 1:
                index = self.skip_braces(index)  # `[{ a = 1 }, ...]`
                continue
            elif word.text == "}" or (word.text in (";", "{") and not open_brackets):
                break
            index += 1
        return index, open_brackets[-1] if open_brackets else None

    def skip_braces(self, index: int) -> int:
        """The index behind the `}` that closes the `{` here, or behind the `{` where none does."""
        depth = 0
        for behind, word in enumerate(self.words[index:], start=index + 1):
            depth += {"{": 1, "}": -1}.get(word.text, 0)
            if depth == 0:
                return behind
        return index + 1

    def indented(self, first: int, end: int) -> int:
        """The index behind the lines below `tier disk:` that stand further to the right, or begin with `-`; `end` where
        it is no such block."""
        if self.text(end - 1) != ":" or self.kind(end) != "newline":
            return end
        own, behind = self.column(first), end
        while behind < len(self.words):
            line = self.past_newlines(behind)
            if line >= len(self.words) or self.column(line) < own:
                break
            if self.column(line) == own and (self.text(line) != "-" or self.text(first) == "-"):
                break
            behind = next((i for i in range(line, len(self.words)) if self.kind(i) == "newline"), len(self.words))
        if any(word.text == "{" for word in self.words[end:behind]):
            return end  # its base stands there
        return behind

    def column(self, index: int) -> int:
        return self.source.position(self.words[index].start)[1]

    def missing_braces(self, index: int) -> bool:
        """Fewer braces are closed than opened from here on, counting one that is open."""
        rest = [word.text for word in self.words[index:] if word.kind == "sign"]
        return rest.count("}") < rest.count("{") + 1
