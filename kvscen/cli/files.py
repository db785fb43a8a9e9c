"""The files that a verb's arguments mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvscen.language.diagnose import Diagnostic

#: A file of parts for other files has nothing to run, and that is no problem until somebody runs it.
NOTHING_TO_RUN = "KVS123"


def files(paths: Sequence[Path], suffixes: tuple[str, ...] = (".kvs",)) -> Iterator[Path | Diagnostic]:
    """The files that the arguments mean, in their order, each once: of a folder those with such a suffix. A folder
    without any is a problem."""
    from kvscen.language.codes import diagnostic

    seen: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            if path not in seen:
                seen.add(path)
                yield path
            continue
        inside = sorted(_below(path, suffixes))
        if not inside:
            yield diagnostic(
                "KVS001",
                f"{path} holds no {' or '.join(suffixes)} files",
                help="name a scenario, or a folder with scenarios",
            )
        for file in inside:
            if file not in seen:
                seen.add(file)
                yield file


def _below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """The files below a folder; hidden folders are passed over, and links to folders are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in names if name.endswith(suffixes))
