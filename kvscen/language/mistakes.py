"""What to say about a text that the grammar refused."""

from __future__ import annotations

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.scan import scan


def explain(source: Source, start: str, begin: int, end: int, at: int, expected: frozenset[str]) -> Diagnostic:
    """Why source.text[begin:end] is not a `start`; the grammar stopped at the offset `at`."""
    for word in scan(source.text, at, end):
        return diagnostic("KVS020", f"`{word.text}` was not expected here", Span(source, word.start, word.end))
    return diagnostic("KVS020", "this ends too early", Span(source, end, end))
