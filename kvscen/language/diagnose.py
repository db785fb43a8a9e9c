"""A problem in a scenario is a value: what, where, why it matters, what to do."""

from __future__ import annotations

import bisect
import enum
import re
from collections.abc import Iterable

import attrs


@attrs.frozen(eq=False)
class Source:
    """One text and the name under which a reader knows it."""

    name: str
    text: str = attrs.field(repr=False)
    _starts: list[int] = attrs.field(init=False, repr=False)

    @_starts.default
    def _find_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character offset, both from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")


@attrs.frozen
class Span:
    """A stretch of a source, character offsets [start, end)."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"


class Severity(enum.Enum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@attrs.frozen
class Fix:
    """A replacement that mends the problem. `safe`: it changes nothing that is measured, nor what the file means to its
    reader; `kvscen lint --fix` applies it unasked."""

    span: Span
    replacement: str
    safe: bool = False


@attrs.frozen
class Diagnostic:
    """One problem. `label` stands beside the caret, `help` says what to do, `related` shows other places."""

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    label: str = ""
    help: str = ""
    fix: Fix | None = None
    related: tuple[tuple[Span, str], ...] = ()


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in diagnostics)


class ScenarioError(Exception):
    """A scenario cannot be used; carries every diagnostic found. The command line renders it and exits with 2."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(d.message for d in self.diagnostics))
