"""The texts that an editor has open, and what is known about each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from kvscen.lsp.analysis import Analysis, analyse
from kvscen.lsp.looking import Job, Looked
from kvscen.lsp.pieces import Parser
from kvscen.lsp.shown import Shown, shown
from kvscen.lsp.text import Lines, Position, edited

#: Scenarios below a folder that are asked whether they use a name; more are no collection of scenarios.
MOST_FILES = 2000


@attrs.define(eq=False)
class Open:
    """One text. `looked` is the last closer look, `looked_at` the revision that it was of."""

    path: str
    lines: Lines
    version: int | None
    looked: Looked | None = None
    looked_at: int = -1


@attrs.define
class Texts:
    """All texts, by the paths of their files. Every change makes a new `revision`: one text may use another."""

    revision: int = 0
    _parser: Parser = attrs.field(factory=Parser)
    _open: dict[str, Open] = attrs.field(factory=dict)
    _known: dict[str, tuple[int, Analysis]] = attrs.field(factory=dict)

    def __iter__(self) -> Iterator[Open]:
        return iter(tuple(self._open.values()))

    def get(self, path: str) -> Open | None:
        return self._open.get(path)

    def open(self, path: str, text: str, version: int | None) -> Open:
        self.revision += 1
        self._open[path] = item = Open(path, Lines(text), version)
        return item

    def change(
        self, path: str, changes: Sequence[tuple[tuple[Position, Position] | None, str]], version: int | None
    ) -> Open:
        """Each change replaces what stands between two positions, or all. KeyError: the text is not open."""
        item = self._open[path]
        for between, text in changes:
            item.lines = Lines(text) if between is None else edited(item.lines, *between, text)
        item.version = version
        self.revision += 1
        return item

    def close(self, path: str) -> None:
        self.revision += 1
        self._open.pop(path, None)
        self._known.pop(path, None)
        self._parser.forget(path)

    def touched(self) -> None:
        """A file was changed by others."""
        self.revision += 1

    def others(self, path: str) -> Mapping[str, str]:
        return {other.path: other.lines.text for other in self if other.path != path}

    def analysis(self, item: Open) -> Analysis:
        """What is known about a text as it is now."""
        found = self._known.get(item.path)
        if found is None or found[0] != self.revision:
            analysis = analyse(item.path, item.lines.text, self._parser, self.others(item.path))
            found = self._known[item.path] = self.revision, analysis
        return found[1]

    def job(self, item: Open) -> Job:
        return Job(item.path, item.lines.text, self.others(item.path))

    def looked(self, item: Open) -> Looked | None:
        """The closer look, where it was at the text as it is now."""
        return item.looked if item.looked_at == self.revision else None

    def shown(self, item: Open) -> tuple[Shown, ...]:
        """What is wrong with a text: what the closer look said, else what the check says at once."""
        analysis, looked = self.analysis(item), self.looked(item)
        return shown(analysis, looked.diagnostics if looked is not None else analysis.diagnostics)

    def users(self, name: str, folders: Sequence[str]) -> Iterator[Analysis]:
        """The other texts, open or below the folders, in which a name stands."""
        for item in self:
            if name in item.lines.text:
                yield self.analysis(item)
        for path in _below(folders):
            if path in self._open:
                continue
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if name in text:
                yield analyse(path, text, Parser(), self.others(path))


def _below(folders: Sequence[str]) -> Iterator[str]:
    count = 0
    for folder in folders:
        for place, inner, names in os.walk(folder):
            inner[:] = [name for name in inner if not name.startswith(".") and name != "node_modules"]
            for name in names:
                if name.endswith(".kvs"):
                    count += 1
                    if count > MOST_FILES:
                        return
                    yield os.path.join(os.path.abspath(place), name)  # noqa: PTH100, PTH118
