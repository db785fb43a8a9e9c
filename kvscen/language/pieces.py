"""Parse a whole text, or one piece of it, with the grammar."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.grammar import builder, parser, seen_tokens
from kvscen.language.mistakes import explain

#: The parser's builder knows one text at a time.
_ONE = threading.Lock()


def parse_piece(
    start: str, source: Source, begin: int = 0, end: int | None = None
) -> tuple[Any | None, tuple[Diagnostic, ...]]:
    """The node of source.text[begin:end] read as `start` (of grammar.STARTS), or None and what is wrong with it."""
    return _parse(start, source, begin, end)[:2]


def parse_whole(source: Source) -> tuple[Any | None, tuple[Diagnostic, ...], Sequence[Token]]:
    """The document, or None and what is wrong with it; and the words and signs of a sound one."""
    return _parse("document", source, 0, None)


def tokens_of(text: str, start: str) -> Sequence[Token]:
    """The words and signs of a text that is read as `start`. Raises UnexpectedInput."""
    with _ONE:
        builder().begin(Source("", ""), 0)
        parser().parse(text, start=start)
        return seen_tokens()


def _parse(
    start: str, source: Source, begin: int, end: int | None
) -> tuple[Any | None, tuple[Diagnostic, ...], Sequence[Token]]:
    end = len(source.text) if end is None else end
    with _ONE:
        builder().begin(source, begin)
        try:
            made = parser().parse(source.text[begin:end], start=start)
        except UnexpectedInput as error:
            place, expected = _place(error)
        else:
            return *builder().result(made), seen_tokens()
    at = end if place is None else begin + place
    return None, (explain(source, start, begin, end, at, expected),), ()


def _place(error: UnexpectedInput) -> tuple[int | None, frozenset[str]]:
    """(offset, terminals that would have fitted); the offset is None where the text ended too early."""
    if isinstance(error, UnexpectedToken):
        expected = frozenset(error.expected)
        if error.token.type == "$END":
            return None, expected
        return error.token.start_pos, expected
    if isinstance(error, UnexpectedCharacters):
        return error.pos_in_stream, frozenset(error.allowed or ())
    raise error  # lark has no other kind for this parser
