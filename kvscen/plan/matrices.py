"""The files of traffic that a pattern names: read once in the making of a plan, and part of what makes a point the
same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.pattern.matrix_file import MatrixFile, read_matrix

if TYPE_CHECKING:
    from kvscen.plan.resolve import Resolved


@attrs.define
class MatrixFiles:
    """Reads files, each once."""

    _read: dict[Path, MatrixFile] = attrs.field(factory=dict)

    def of(self, pattern: Resolved) -> tuple[MatrixFile, ...]:
        """Those of a pattern, in its order. Their paths are relative to the file in which they are written, from the
        command line to the working directory."""
        names = getattr(pattern.settings, "files", None)
        if not names:
            return ()
        written = pattern.span_of("files").source.name
        folder = Path() if written.startswith(("<", "--")) else Path(written).parent
        return tuple(self._file(name, folder / name) for name in names)

    def _file(self, name: str, path: Path) -> MatrixFile:
        found = self._read.get(path)
        if found is None:
            found = self._read[path] = read_matrix(name, path)
        return found


def digest(files: Sequence[MatrixFile]) -> tuple[str, ...]:
    """What is in the files, shortly: another matrix under the same name is another point."""
    return tuple(hashlib.sha256(file.source.text.encode()).hexdigest()[:16] for file in files)


def problems(files: Sequence[MatrixFile], span: Span) -> Iterator[Diagnostic]:
    """What is wrong with them. `span`: where they are named."""
    for file in dict.fromkeys(files):
        yield from (item if item.span else attrs.evolve(item, span=span) for item in file.problems)
    good = [file for file in files if file.cells is not None]
    for file in dict.fromkeys(good):
        first = good[0]
        assert file.cells is not None and first.cells is not None
        if len(file.cells) != len(first.cells):
            yield diagnostic(
                "KVS221",
                f"{file.name} has {len(file.cells)} ranks, and {first.name} has {len(first.cells)}",
                span,
                help="all steps are sent among the same ranks: give ranks that do nothing a row and a column of zeros",
            )
