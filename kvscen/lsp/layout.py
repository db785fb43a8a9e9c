"""The one layout of a text, as the edit that gives it."""

from __future__ import annotations

from kvscen.language.format import FormatError, format_source
from kvscen.lsp.analysis import Analysis
from kvscen.lsp.rename import Edit


def layout(analysis: Analysis) -> Edit | None:
    """What `kvscen fmt` would change, lines at the beginning and the end that stay left out. None: nothing, or the text
    has a problem in its syntax."""
    if analysis.own is None:
        return None
    before = analysis.source.text
    try:
        after = format_source(analysis.source)
    except FormatError:
        return None
    if not isinstance(after, str) or after == before:
        return None
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    start = sum(map(len, old[:head]))
    end = len(before) - sum(map(len, old[len(old) - tail :]))
    return Edit(analysis.path, before, start, end, "".join(new[head : len(new) - tail]))


def _same(a: list[str], b: list[str]) -> int:
    """How many lines at the beginning are the same."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
