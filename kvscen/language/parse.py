"""From any text to a syntax tree of what could be understood, and what is wrong with the rest."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.hidden import hidden
from kvscen.language.syntax import Document, Expr

if TYPE_CHECKING:
    from lark import Token


@functools.lru_cache(maxsize=4)  # a source is itself alone; several ask for its document, one after the other
def parse(source: Source) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document and the problems of its syntax, in the order of the text. Never raises, for any text."""
    unseen = hidden(source)
    document, problems, _ = _whole(source)
    if not problems:
        assert isinstance(document, Document)
        return document, unseen
    from kvscen.language.recover import recover

    document, found = recover(source)
    if not found:  # the pieces are all right by themselves, and the whole is wrong all the same
        document, found = attrs.evolve(document, complete=False), problems
    return document, _together(unseen, found)


def words(source: Source) -> Sequence[Token]:
    """The words and signs of a text whose syntax has no problem."""
    return _whole(source)[2]


@functools.lru_cache(maxsize=4)
def _whole(source: Source) -> tuple[Any | None, tuple[Diagnostic, ...], Sequence[Token]]:
    # lark takes longer to import than most of the program: only who parses waits for it.
    from kvscen.language.pieces import parse_whole

    return parse_whole(source)


def _together(unseen: tuple[Diagnostic, ...], problems: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """In the order of the text, without what is only said of a line because of a character that cannot be seen."""
    if not unseen:
        return problems
    lines = {item.span.source.position(item.span.start)[0] for item in unseen if item.span}
    others = [item for item in problems if item.span and item.span.source.position(item.span.start)[0] not in lines]
    return tuple(sorted((*unseen, *others), key=lambda item: item.span.start if item.span else 0))


def parse_value(source: Source) -> tuple[Expr | None, tuple[Diagnostic, ...]]:
    """One expression, such as the right side of `--set path=value`; None where it has a problem."""
    from kvscen.language.pieces import parse_piece

    return parse_piece("value", source)
