"""Rules that need this machine."""

from __future__ import annotations

from collections.abc import Iterable

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import Rule, Subject

Look = object
LOOKED_AT: tuple[type[Rule], ...] = ()


def look_at(subject: Subject, look: Look) -> Iterable[Diagnostic]:
    return ()
