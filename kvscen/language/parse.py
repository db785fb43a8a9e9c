"""From any text to a syntax tree of what could be understood, and what is wrong with the rest."""

from __future__ import annotations

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.syntax import Document, Expr


def parse(source: Source) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document and the problems of its syntax, in the order of the text. Never raises, for any text."""
    # lark takes longer to import than most of the program: only who parses waits for it.
    from kvscen.language.pieces import parse_piece

    document, problems = parse_piece("document", source)
    if not problems:
        assert isinstance(document, Document)
        return document, ()
    from kvscen.language.recover import recover

    document, found = recover(source)
    # Should the pieces all be right by themselves, the whole is wrong all the same.
    return document, found or problems


def parse_value(source: Source) -> tuple[Expr | None, tuple[Diagnostic, ...]]:
    """One expression, such as the right side of `--set path=value`; None where it has a problem."""
    from kvscen.language.pieces import parse_piece

    return parse_piece("value", source)
