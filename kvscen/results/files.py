"""Files that are there completely or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from kvscen.results.errors import ResultsError, why


def whole_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under a temporary name beside `path`, make it durable and give it its name.

    Whoever looks at `path` sees the old file or the new one, never a part. Raises OSError and what `write` raises; what
    was there before stays then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def replace(path: Path, write: Callable[[Path], object]) -> Path:
    """`whole_file` for a file of a run. Raises ResultsError."""
    try:
        whole_file(path, write)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {why(error)}", "make room or give a folder that can be written, then use --resume"
        ) from error
    return path


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
