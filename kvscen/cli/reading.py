"""A bar while a file is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvscen.trace.source import Progress


@contextmanager
def reading(file: Path) -> Iterator[Progress]:
    """A bar on stderr over the bytes of the file; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    try:
        size = file.stat().st_size
    except (OSError, ValueError):
        size = 0
    columns = (TextColumn("{task.description}"), BarColumn(24), DownloadColumn(True), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"reading {file.name}", total=size)
        yield lambda nbytes: bar.advance(task, nbytes)
