"""Parse a whole text, or one piece of it, with the grammar."""

from __future__ import annotations

import threading
from typing import Any

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.grammar import builder, parser
from kvscen.language.mistakes import explain

#: The parser's builder knows one text at a time.
_ONE = threading.Lock()


def parse_piece(
    start: str, source: Source, begin: int = 0, end: int | None = None
) -> tuple[Any | None, tuple[Diagnostic, ...]]:
    """The node of source.text[begin:end] read as `start` (of grammar.STARTS), or None and what is wrong with it."""
    end = len(source.text) if end is None else end
    with _ONE:
        builder().begin(source, begin)
        try:
            made = parser().parse(source.text[begin:end], start=start)
        except UnexpectedInput as error:
            place, expected = _place(error)
        else:
            return builder().result(made)
    at = end if place is None else begin + place
    return None, (explain(source, start, begin, end, at, expected),)


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
