"""Parse a whole text, or one piece of it, with the grammar."""

from __future__ import annotations

from typing import Any

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from kvscen.language.build import Builder, too_deep
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.grammar import parser
from kvscen.language.mistakes import explain


def parse_piece(
    start: str, source: Source, begin: int = 0, end: int | None = None
) -> tuple[Any | None, tuple[Diagnostic, ...]]:
    """The node of source.text[begin:end] read as `start` (of grammar.STARTS), or None and what is wrong with it."""
    end = len(source.text) if end is None else end
    try:
        tree = parser().parse(source.text[begin:end], start=start)
    except UnexpectedInput as error:
        place, expected = _place(error)
        at = end if place is None else begin + place
        return None, (explain(source, start, begin, end, at, expected),)
    deep = too_deep(tree)
    if deep is not None:
        span = Span(source, begin + deep[0], begin + deep[1])
        return None, (
            diagnostic(
                "KVS033",
                "this expression is nested too deeply",
                span,
                help="split it: give its parts names with `let`",
            ),
        )
    builder = Builder(source, begin)
    node = builder.transform(tree)
    return (None if builder.problems else node), tuple(builder.problems)


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
