"""Parse a text that changes a little at a time: item by item, each only when its text is another one.

A text is cut before every line that begins with an item. No line inside of a well-formed item looks like that, so the
pieces can be parsed one by one; every piece is a source of its own, whose nodes stay as they are when what stands above
it moves."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping

import attrs

from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.parse import parse
from kvscen.language.scan import scan
from kvscen.language.syntax import Document

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_ITEM = re.compile(
    rf"""^[ \t\f]*(?:
      let[ \t]+{_NAME}[ \t]*=(?!=)
    | use[ \t]+(?:{_NAME}|"[^"\n]*")[ \t\r]*(?:\#.*)?$
    | {_NAME}[ \t]+(?!in[ \t]*\{{){_NAME}[ \t]*[:{{]
    )""",
    re.VERBOSE | re.MULTILINE,
)

#: What every piece but the first is read behind.
_VERSION = "kvs 1\n"

_numbers = itertools.count()


@attrs.frozen(eq=False)
class Piece:
    """A part of a text. `source` is what was parsed; its first `prefix` characters do not belong to the text."""

    text: str
    source: Source
    prefix: int
    document: Document
    problems: tuple[Diagnostic, ...]

    @classmethod
    def of(cls, name: str, text: str, first: bool) -> Piece:
        prefix = "" if first else _VERSION
        # The name tells a piece's problems from those of others, and still says in which folder it stands.
        source = Source(f"{name}#{next(_numbers)}", prefix + text)
        document, problems = parse(source)
        return cls(text, source, len(prefix), document, problems)


@attrs.frozen(eq=False)
class Pieces:
    """A whole text, `source`, as it was parsed in pieces. `document` has spans in the pieces."""

    source: Source
    document: Document
    problems: tuple[Diagnostic, ...]
    pieces: tuple[Piece, ...]
    _starts: Mapping[int, int]

    def place(self, span: Span) -> tuple[int, int] | None:
        """[start, end) of a span in the whole text; None where it is one of another text."""
        start = 0 if span.source is self.source else self._starts.get(id(span.source))
        if start is None:
            return None
        last = len(self.source.text)
        return tuple(min(max(start + offset, 0), last) for offset in (span.start, span.end))  # type: ignore[return-value]

    def piece_at(self, offset: int) -> tuple[Piece, int]:
        """The piece that holds an offset, and where it begins."""
        start = 0
        for piece in self.pieces:
            if offset <= start + len(piece.text):
                break
            start += len(piece.text)
        # Where one ends another begins; what is typed there belongs to the one that is there already.
        return piece, min(start, len(self.source.text))


@attrs.define
class Parser:
    """Parses texts, and keeps of each, by its name, the pieces that it had the last time."""

    _kept: dict[str, Pieces] = attrs.field(factory=dict)

    def __call__(self, source: Source) -> tuple[Document, tuple[Diagnostic, ...]]:
        whole = self.pieces(source)
        return whole.document, whole.problems

    def pieces(self, source: Source) -> Pieces:
        before = self._kept.get(source.name)
        if before is not None and before.source.text == source.text:
            return before
        self._kept[source.name] = found = _pieces(source, before.pieces if before else ())
        return found

    def kept(self, name: str) -> Pieces | None:
        return self._kept.get(name)

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)


def _pieces(source: Source, before: tuple[Piece, ...]) -> Pieces:
    first = before[0] if before else None
    pool: dict[str, list[Piece]] = {}
    for piece in before[1:]:
        pool.setdefault(piece.text, []).append(piece)
    pieces: list[Piece] = []
    for text in cut(source.text):
        if not pieces:
            known = first if first is not None and first.text == text else None
        else:
            same = pool.get(text)
            known = same.pop() if same else None
        pieces.append(known or Piece.of(source.name, text, first=not pieces))
    head = pieces[0]
    if head.document.version is None and any(problem.code == "KVS011" for problem in head.problems):
        # Of another version: nothing can be said about the rest.
        document = Document(source, None, (), complete=False)
        return Pieces(source, document, head.problems, tuple(pieces), _starts(pieces))
    items = tuple(item for piece in pieces for item in piece.document.items)
    problems = tuple(problem for piece in pieces for problem in piece.problems)
    complete = all(piece.document.complete for piece in pieces)
    document = Document(source, head.document.version, items, complete)
    return Pieces(source, document, problems, tuple(pieces), _starts(pieces))


def _starts(pieces: list[Piece]) -> dict[int, int]:
    starts, start = {}, 0
    for piece in pieces:
        starts[id(piece.source)] = start - piece.prefix
        start += len(piece.text)
    return starts


def cut(text: str) -> Iterator[str]:
    """The pieces of a text, which joined are the text. What stands before the first item is the first one. Items whose
    braces are only closed in a later one stay together."""
    edges = [0, *(found.start() for found in _ITEM.finditer(text) if found.start() > 0), len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(edges)]
    depths = [_depth(part) for part in parts]
    at = 0
    while at < len(parts):
        behind = at + 1
        if depths[at] > 0:
            behind = _closed(depths, at)
        yield "".join(parts[at:behind])
        at = behind


def _closed(depths: list[int], at: int) -> int:
    """The index behind the part that closes the braces that are open in `at`; behind `at` where none does."""
    open_braces = 0
    for index in range(at, len(depths)):
        open_braces += depths[index]
        if open_braces <= 0:
            return index + 1
    return at + 1


@functools.lru_cache(maxsize=4096)  # all parts but one are those of the keystroke before
def _depth(part: str) -> int:
    """How many braces are opened and not closed."""
    if part.count("{") == part.count("}") and "#" not in part and '"' not in part:
        return 0
    signs = [word.text for word in scan(part) if word.kind == "sign"]
    return signs.count("{") - signs.count("}")
