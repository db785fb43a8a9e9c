"""What is known about one text while it is typed: its documents, its names, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

import kvscen_grammar
from kvscen.language import syntax
from kvscen.language.check import Checked, Known, check_loaded
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.evaluate import nested_too_deeply
from kvscen.language.files import MAX_BYTES, decode, unsaved
from kvscen.language.use import Loaded, load, parse_catalogue
from kvscen.lsp.pieces import Parser, Pieces
from kvscen.plugin.registry import Registry
from kvscen.plugin.registry import registry as installed

#: A file of parts for other files has nothing to run, and that is no problem until somebody runs it.
NOTHING_TO_RUN = "KVS123"


@attrs.frozen
class Place:
    """A stretch of a file. `path` is absolute; `text` is what the file has, saved or not."""

    path: str
    text: str = attrs.field(repr=False)
    start: int
    end: int


@attrs.frozen(eq=False)
class Analysis:
    """A text, `source`, whose name is its absolute path. `own` are its pieces, `files` those of each file that it uses
    by the name of its source, `checked` is what the check says of it all. Of a text that is too long there is only
    `checked`."""

    source: Source
    own: Pieces | None
    files: Mapping[str, Pieces]
    checked: Checked
    registry: Registry
    #: What was made of it, by the function that made it: an analysis never changes.
    made: dict[object, Any] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def path(self) -> str:
        return self.source.name

    @property
    def known(self) -> Known | None:
        return self.checked.known

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return self.checked.diagnostics

    def place(self, span: Span) -> Place | None:
        """Where a span stands. None: in no file (the blocks that `hf` comes to)."""
        for pieces in (*((self.own,) if self.own else ()), *self.files.values()):
            found = pieces.place(span)
            if found is not None:
                return Place(os.path.abspath(pieces.source.name), pieces.source.text, *found)  # noqa: PTH100
        if span.source is parse_catalogue().source:
            return Place(catalogue_path(), span.source.text, span.start, span.end)
        if span.source is self.source:
            return Place(self.path, self.source.text, span.start, span.end)
        return None

    def here(self, span: Span) -> tuple[int, int] | None:
        """[start, end) of a span in the text itself; None where it stands elsewhere."""
        return self.own.place(span) if self.own else (span.start, span.end) if span.source is self.source else None

    def documents(self) -> Iterator[syntax.Document]:
        """The text's own, then those of the files that it uses."""
        if self.own is not None:
            yield self.own.document
        for pieces in self.files.values():
            yield pieces.document

    @property
    def paths(self) -> frozenset[str]:
        """The absolute paths of the files that it uses."""
        return frozenset(os.path.abspath(name) for name in self.files)  # noqa: PTH100


def catalogue_path() -> str:
    return str(Path(kvscen_grammar.__file__).with_name(kvscen_grammar.CATALOGUE_NAME))


def analyse(
    path: str, text: str, parser: Parser, others: Mapping[str, str] | None = None, registry: Registry | None = None
) -> Analysis:
    """What is known about `text`, which the file `path` (absolute) holds in the editor. `others` are the texts of other
    files that the editor holds. `parser` remembers what it parsed before: with the same one a small change is cheap."""
    registry = registry or installed()
    source = decode(path, text.encode("utf-8", "surrogatepass"))
    if isinstance(source, Diagnostic):
        refused = Checked(None, (source,))
        if len(text) > MAX_BYTES:
            return Analysis(Source(path, text), None, {}, refused, registry)
        own = parser.pieces(Source(path, text))
        return Analysis(own.source, own, {}, refused, registry)
    with unsaved(others or {}):
        try:
            loaded = load(source, Path(path).parent, parser)
            checked = check_loaded(loaded, registry)
        except RecursionError:
            return Analysis(source, parser.pieces(source), {}, Checked(None, (nested_too_deeply(),)), registry)
    files = dict(_files(loaded, parser))
    found = tuple(item for item in checked.diagnostics if item.code != NOTHING_TO_RUN)
    return Analysis(source, parser.pieces(source), files, attrs.evolve(checked, diagnostics=found), registry)


def _files(loaded: Loaded, parser: Parser) -> Iterator[tuple[str, Pieces]]:
    for document in loaded.used:
        pieces = parser.kept(document.source.name)
        if pieces is not None and pieces.source is document.source:
            yield document.source.name, pieces
