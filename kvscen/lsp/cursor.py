"""Where in a scenario the cursor stands, from the words before it: the text there is seldom well formed."""

from __future__ import annotations

import re

import attrs

from kvscen.language.scan import Word, scan
from kvscen.lsp.pieces import Pieces

_STRING = re.compile(r'"([^"\\\n]|\\[^\n])*"')
#: The beginning of a unit with a slash, which is more than one word: `MiB/s`.
_RATE = re.compile(r"[A-Za-z]*/[A-Za-z]*\Z")


@attrs.frozen
class Header:
    """`kind name : base {` as far as it is written. `taken` are the words before each `=` or `in` of the block."""

    kind: str
    name: str
    base: str | None
    taken: frozenset[str]


@attrs.frozen
class Cursor:
    """`header` is the block that the cursor stands in (None: in none), `words` the statement so far without the word
    that is being typed, `start` where that word begins. `string`: the text so far of the string that it stands in."""

    header: Header | None
    words: tuple[Word, ...]
    start: int
    string: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)


def cursor_at(pieces: Pieces, offset: int) -> Cursor | None:
    """None inside of a comment."""
    piece, begin = pieces.piece_at(offset)
    text = piece.text
    at = offset - begin
    line = text[text.rfind("\n", 0, at) + 1 : at]
    if "#" in _STRING.sub("", line):
        return None
    words = list(scan(text, 0, at))
    start, string = at, None
    if words and words[-1].end == at and words[-1].kind == "open_string":
        last = words.pop()
        start, string = last.start + 1, last.text[1:]
    elif words and words[-1].end == at and words[-1].kind == "name":
        start = words.pop().start
    rate = _RATE.search(text, max(0, at - 16), at)
    if string is None and rate is not None and _behind_number(words, rate.start()):
        start = rate.start()
        words = [word for word in words if word.end <= start]
    header, statement = _statement(words, _given(list(scan(text))))
    return Cursor(header, tuple(statement), begin + start, string)


def _behind_number(words: list[Word], start: int) -> bool:
    before = [word for word in words if word.end <= start]
    return bool(before) and before[-1].kind == "number"


def _statement(words: list[Word], given: dict[int, frozenset[str]]) -> tuple[Header | None, list[Word]]:
    """The block that is open behind these words, and the words of the statement that is begun there."""
    header: Header | None = None
    statement: list[Word] = []
    brackets = 0
    for index, word in enumerate(words):
        if word.text == "{":
            header = _header(statement, given.get(word.start, frozenset()))
            statement, brackets = [], 0
        elif word.text == "}":
            header, statement, brackets = None, [], 0
        elif word.kind == "newline":
            if brackets <= 0 or _begins(words, index + 1):
                # A header may have its brace on the next line.
                following = next((w for w in words[index:] if w.kind != "newline"), None)
                if header is not None or following is None or following.text != "{":
                    statement = []
                brackets = 0
        elif word.text == ";" and brackets <= 0:
            statement = []
        else:
            brackets += (word.text in ("(", "[")) - (word.text in (")", "]"))
            statement.append(word)
    return header, statement


def _begins(words: list[Word], index: int) -> bool:
    """A setting or another statement begins here, so that a bracket before it was forgotten."""
    texts = [word.text for word in words[index : index + 4]]
    if texts[:2] == ["skip", "when"] or (
        texts[:1] == ["find"] and len(texts) > 1 and texts[1] in ("highest", "lowest")
    ):
        return True
    while len(texts) > 2 and texts[1] == ".":
        del texts[:2]
    return len(texts) > 1 and texts[1] in ("=", "in") and texts[0].isidentifier()


def _header(statement: list[Word], taken: frozenset[str]) -> Header | None:
    texts = [word.text for word in statement]
    if len(texts) < 2:
        return None
    return Header(texts[0], texts[1], texts[3] if len(texts) > 3 and texts[2] == ":" else None, taken)


def _given(words: list[Word]) -> dict[int, frozenset[str]]:
    """For each brace that opens a block, the paths that are given in it."""
    found: dict[int, frozenset[str]] = {}
    taken: set[str] = set()
    opened = -1
    for index, word in enumerate(words):
        if word.text == "{":
            opened, taken = word.start, set()
        elif word.text == "}":
            taken = set()
        elif word.text in ("=", "in") and index and words[index - 1].kind == "name":
            name = words[index - 1].text
            if index > 2 and words[index - 2].text == ".":
                name = f"{words[index - 3].text}.{name}"
            taken.add(name)
        if opened >= 0:
            found[opened] = frozenset(taken) | found.get(opened, frozenset())
    return found
