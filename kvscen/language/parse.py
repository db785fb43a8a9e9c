"""From any text to a syntax tree of what could be understood, and what is wrong with the rest."""

from __future__ import annotations

import functools

import attrs

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.hidden import hidden
from kvscen.language.syntax import Document, Expr


@functools.lru_cache(maxsize=4)  # a source is itself alone; several ask for its document, one after the other
def parse(source: Source) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document and the problems of its syntax, in the order of the text. Never raises, for any text."""
    # lark takes longer to import than most of the program: only who parses waits for it.
    from kvscen.language.pieces import parse_piece

    unseen = hidden(source)
    document, problems = parse_piece("document", source)
    if not problems:
        assert isinstance(document, Document)
        return document, unseen
    from kvscen.language.recover import recover

    document, found = recover(source)
    if not found:  # the pieces are all right by themselves, and the whole is wrong all the same
        document, found = attrs.evolve(document, complete=False), problems
    return document, _together(unseen, found)


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
