"""pyarrow without pandas. Where pandas is installed pyarrow imports it for its first array: most of a second of CPU,
for tables that never become a data frame here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

_program = False


class _Hidden:
    """Finds nothing, and lets nobody after it find pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not needed", name=name)


def as_program() -> None:
    """This process is the command line's own: nobody else in it wants a data frame of pyarrow's."""
    global _program
    _program = True


def light_arrow() -> None:
    """Let pyarrow look for pandas now, and not find it; it looks once. Who imports pandas later gets it."""
    if not _program or "pandas" in sys.modules:
        return
    import pyarrow as pa

    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hidden)
