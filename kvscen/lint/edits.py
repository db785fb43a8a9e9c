"""Edits that a fix is made of. Comments stay."""

from __future__ import annotations

import re

from kvscen.language.diagnose import Span
from kvscen.language.syntax import Block
from kvscen.lint.rule import Subject


def removal(span: Span) -> tuple[Span, str]:
    """Take a statement out, with its line where nothing else stands in it, or with the `;` that separates it."""
    text = span.source.text
    begin = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    end = len(text) if end < 0 else end
    before, after = text[begin : span.start], text[span.end : end]
    if not before.strip() and not after.strip():
        return Span(span.source, begin, min(end + 1, len(text))), ""
    behind = re.match(r"[ \t]*;[ \t]*", after)
    if behind:
        return Span(span.source, span.start, span.end + behind.end()), ""
    ahead = re.search(r"[ \t]*;[ \t]*$", before)
    if ahead:
        return Span(span.source, begin + ahead.start(), span.end), ""
    return Span(span.source, span.start, span.end), ""


def addition(subject: Subject, sweep: str, statement: str) -> tuple[Span, str] | None:
    """Put a statement behind the last setting of a sweep, as its neighbour stands. None: the sweep is empty, or of
    another file."""
    block = next(
        (
            item
            for item in subject.document.items
            if isinstance(item, Block) and item.kind == "sweep" and item.name.name == sweep and item.body
        ),
        None,
    )
    if block is None:
        return None
    last = [item for item in block.body if type(item).__name__ == "Setting"] or list(block.body)
    span = last[-1].span
    text = span.source.text
    begin = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    newline = "\n"
    if end > 0 and text[end - 1] == "\r":
        end, newline = end - 1, "\r\n"
    indent, after = text[begin : span.start], text[span.end : end if end >= 0 else len(text)].strip()
    if indent.strip() or (after and not after.startswith("#")) or end < 0:
        return Span(span.source, span.end, span.end), f"; {statement}"
    return Span(span.source, end, end), f"{newline}{indent}{statement}"
