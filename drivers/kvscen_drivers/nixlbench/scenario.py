"""Writing a scenario for a user: blocks with their settings, what could not be translated beside them as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.plugin import DriverError, Imported, String

_WIDTH = 120


@attrs.define
class Writer:
    """The text of a scenario under way. `left_out` collects what is no part of it."""

    left_out: list[str] = attrs.field(factory=list)
    _lines: list[str] = attrs.field(factory=lambda: ["kvs 1", ""])

    def comment(self, *sentences: str) -> None:
        for sentence in sentences:
            self._lines += textwrap.wrap(sentence, _WIDTH - 2, initial_indent="# ", subsequent_indent="# ")

    def leave_out(self, sentences: Iterable[str]) -> None:
        """Say what is not translated, here and to the user."""
        for sentence in sentences:
            self.left_out.append(sentence)
            self.comment(f"not translated: {sentence}")

    def line(self, text: str = "") -> None:
        self._lines.append(text)

    def block(self, head: str, settings: Mapping[str, str], more: Sequence[str] = ()) -> None:
        """A block, its settings aligned, then further statements."""
        width = max(map(len, settings), default=0)
        self._lines.append(f"{head} {{")
        self._lines += [f"  {name.ljust(width)} = {value}" for name, value in settings.items()]
        self._lines += [f"  {statement}" for statement in more]
        self._lines += ["}", ""]

    def done(self) -> Imported:
        return Imported("\n".join(self._lines).rstrip("\n") + "\n", tuple(self.left_out))


def quoted(text: str) -> str:
    return String().show(text)


def size(nbytes: int) -> str:
    """Bytes in the largest binary unit that they are a whole number of."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if nbytes and nbytes % 1024**power == 0:
            return f"{nbytes // 1024**power} {unit}"
    return f"{nbytes} B"


def axis(first: int, last: int, show: Any = str) -> tuple[str, str]:
    """(`=` or `in`, value) for what doubles from `first` as long as it is at most `last`."""
    if first > last:
        raise DriverError(f"the smallest, {show(first)}, is above the largest, {show(last)}: nothing would be measured")
    values = [first]
    while values[-1] * 2 <= last:
        values.append(values[-1] * 2)
    return ("=", show(first)) if len(values) == 1 else ("in", f"pow2({show(first)}, {show(values[-1])})")


def read_text(path: Path) -> str:
    """A user's file. Raises DriverError with one sentence."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise DriverError(f"{path} cannot be read: {error.strerror}", "name a file that is there") from error
    except UnicodeDecodeError as error:
        raise DriverError(f"{path} is not text (UTF-8)", "name a text file") from error
