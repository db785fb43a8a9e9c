"""One layout for scenarios: only white space, separators and trailing commas change, never a word or a comment."""

from __future__ import annotations

import functools

from kvscen.language.build import MAX_DEPTH
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.format.align import write
from kvscen.language.format.flat import flat
from kvscen.language.format.layout import lay_out
from kvscen.language.format.tokens import Mark, marks_of, read, signature
from kvscen.language.format.tree import group, statement
from kvscen.language.parse import parse, words


class FormatError(Exception):
    """A bug of the formatter: what it made does not say what the text said. The text must be left as it is."""


def format_source(source: Source) -> str | tuple[Diagnostic, ...]:
    """The text in its one layout, or the problems of its syntax. Raises FormatError."""
    _, problems = parse(source)
    if problems:
        return problems
    marks = marks_of(source.text, words(source))
    deep = _too_deep(marks)
    if deep is not None:
        span = Span(source, deep.start, deep.start + 1)
        help = "take away those that are not needed"
        return (diagnostic("KVS033", "these brackets are nested too deeply", span, help=help),)
    text = write(lay_out(group(marks)))
    if text != source.text:
        _hold_equal(marks, text)
    return text


@functools.lru_cache(maxsize=4096)
def one_line(text: str) -> str:
    """A statement, or the comparison of a `find`, as it is formatted, on one line and without comments: the same for
    texts that differ in their layout only."""
    from lark.exceptions import UnexpectedInput

    prefix = ""
    try:
        marks = read(text, "statement")
    except UnexpectedInput:
        prefix = "expect "
        marks = read(prefix + text, "statement")
    if _too_deep(marks) is not None:
        return " ".join(text.split())
    return flat(statement(marks)).removeprefix(prefix)


def _too_deep(marks: tuple[Mark, ...]) -> Mark | None:
    """Brackets around brackets, as no person writes them, may be nothing to the language and too much for the
    layout."""
    depth = 0
    for mark in marks:
        depth += (mark.kind in ("LPAR", "LSQB")) - (mark.kind in ("RPAR", "RSQB"))
        if depth > MAX_DEPTH:
            return mark
    return None


def _hold_equal(marks: tuple[Mark, ...], text: str) -> None:
    """Scenarios are precious: the words, signs and comments of every result are held against those of its text."""
    from lark.exceptions import UnexpectedInput

    try:
        same = signature(marks) == signature(read(text))
    except UnexpectedInput:
        same = False
    if not same:
        raise FormatError("the formatted text would say something else")
