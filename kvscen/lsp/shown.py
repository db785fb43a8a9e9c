"""Diagnostics as an editor shows them, and what mends them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from kvscen.language import syntax
from kvscen.language.diagnose import Diagnostic, Severity
from kvscen.lsp.analysis import Analysis, Place
from kvscen.lsp.rename import Edit


@attrs.frozen
class Related:
    place: Place
    message: str


@attrs.frozen
class Shown:
    """`message` has the label and the help too. It points at [start, end) of the text; what is wrong in a file that the
    text uses, at the `use`, with its place among `related`. `edit` mends it."""

    code: str
    severity: Severity
    message: str
    start: int
    end: int
    related: tuple[Related, ...] = ()
    edit: Edit | None = None
    help: str = ""


def shown(analysis: Analysis, diagnostics: Iterable[Diagnostic]) -> tuple[Shown, ...]:
    return tuple(dict.fromkeys(_shown(analysis, item) for item in diagnostics))


def _shown(analysis: Analysis, item: Diagnostic) -> Shown:
    place = _place(analysis, item)
    related = tuple(_related(analysis, item))
    message = item.message
    if place is None or place.path != analysis.path:
        start, end = _use(analysis, place)
        if place is not None:
            related = (Related(place, item.message), *related)
            message = f"{place.path.rpartition('/')[2]}: {message}"
    else:
        start, end = place.start, place.end
    for extra in (item.label, f"help: {item.help}" if item.help else ""):
        if extra:
            message += f"\n{extra}"
    return Shown(item.code, item.severity, message, start, end, related, _edit(analysis, item), item.help)


def _place(analysis: Analysis, item: Diagnostic) -> Place | None:
    if item.span is None:
        return None
    found = analysis.place(item.span)
    if found is None and item.span.source.name == analysis.path:
        # It comes from another process, which has a source of its own.
        return Place(analysis.path, analysis.source.text, item.span.start, item.span.end)
    if found is None and item.span.source.name in analysis.files:
        return Place(item.span.source.name, item.span.source.text, item.span.start, item.span.end)
    return found


def _use(analysis: Analysis, place: Place | None) -> tuple[int, int]:
    """The `use` that brings a file in, or the first line."""
    for item in analysis.own.document.items if analysis.own is not None and place is not None else ():
        if isinstance(item, syntax.Use) and item.is_file:
            here = analysis.here(item.span)
            if here is not None:
                return here
    return 0, len(analysis.source.text.partition("\n")[0])


def _related(analysis: Analysis, item: Diagnostic) -> Iterator[Related]:
    for span, text in item.related:
        place = _place(analysis, Diagnostic(item.code, item.severity, text, span))
        if place is not None:
            yield Related(place, text)


def _edit(analysis: Analysis, item: Diagnostic) -> Edit | None:
    if item.fix is None:
        return None
    place = _place(analysis, attrs.evolve(item, span=item.fix.span))
    return Edit(place.path, place.text, place.start, place.end, item.fix.replacement) if place is not None else None
