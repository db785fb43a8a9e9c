"""The blocks and `let`s of a text, for an editor's outline."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kvscen.language import syntax
from kvscen.lsp.analysis import Analysis


@attrs.frozen
class Entry:
    """`kind` is that of the block, or `let`. It stands at [start, end), its name at [name_start, name_end)."""

    name: str
    kind: str
    detail: str
    start: int
    end: int
    name_start: int
    name_end: int


def outline(analysis: Analysis) -> Iterator[Entry]:
    """In the order of the text."""
    for item in analysis.own.document.items if analysis.own is not None else ():
        if isinstance(item, syntax.Use):
            continue
        whole, name = analysis.here(item.span), analysis.here(item.name.span)
        if whole is None or name is None:
            continue
        if isinstance(item, syntax.Block):
            base = item.base
            of = base.function.name if isinstance(base, syntax.Call) else base.name if base is not None else ""
            yield Entry(item.name.name, item.kind, f"{item.kind} : {of}" if of else item.kind, *whole, *name)
        else:
            yield Entry(item.name.name, "let", " ".join(item.value.span.text.split()), *whole, *name)
