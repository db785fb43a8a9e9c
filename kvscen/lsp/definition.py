"""Where a name is defined, and where it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kvscen.lsp.analysis import Analysis, Place
from kvscen.lsp.names import Occurrence, occurrence_at, occurrences


def definition(analysis: Analysis, offset: int) -> Place | None:
    """Of a block or `let` where it begins, of a path where the block gives that setting, of a `use` the file."""
    item = occurrence_at(analysis, offset)
    if item is None:
        return None
    if item.kind == "file":
        return _file(analysis, item)
    if item.kind == "name":
        return defined(analysis, item.name)
    if item.kind == "setting" and item.owner is not None:
        return _given(analysis, item) or defined(analysis, item.owner)
    return None


def defined(analysis: Analysis, name: str) -> Place | None:
    """Where a block or `let` of this name begins."""
    known = analysis.known
    if known is None:
        return None
    item = known.definitions.blocks.get(name) or known.definitions.lets.get(name)
    return analysis.place(item.name.span) if item is not None else None


def references(analysis: Analysis, name: str) -> Iterator[Place]:
    """Every place of a block's or `let`'s name, its definition included, in the text and the files that it uses."""
    for item in occurrences(analysis):
        if item.kind == "name" and item.name == name:
            place = analysis.place(item.span)
            if place is not None:
                yield place


def _given(analysis: Analysis, item: Occurrence) -> Place | None:
    """Where the block, or the nearest of its bases that does, gives this setting."""
    known = analysis.known
    assert known is not None and item.owner is not None
    for level in known.definitions.chains.get(item.owner, (item.owner,)):
        block = known.universe.blocks.get(level)
        for other in occurrences(analysis) if block is not None else ():
            same = other.kind == "setting" and other.owner == level and other.name == item.name
            # That of the block itself, not of a sweep.
            if same and other.statement and len(other.statement.path.parts) == 1 and other.span != item.span:
                return analysis.place(other.span)
    return None


def _file(analysis: Analysis, item: Occurrence) -> Place | None:
    if item.owner == "library":
        known = analysis.known
        catalogue = known.loaded.catalogue if known is not None else None
        if catalogue is None:
            return None
        place = analysis.place(catalogue.items[0].span)
        return Place(place.path, place.text, 0, 0) if place is not None else None
    source = analysis.place(item.span)
    if source is None:
        return None
    path = os.path.abspath(Path(source.path).parent / item.name)  # noqa: PTH100 - no symlink is followed
    pieces = next((p for name, p in analysis.files.items() if os.path.abspath(name) == path), None)  # noqa: PTH100
    return Place(path, pieces.source.text, 0, 0) if pieces is not None else None
