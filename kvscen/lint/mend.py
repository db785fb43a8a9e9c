"""Apply what is safe: fixes that change nothing that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kvscen.language.diagnose import Diagnostic, Fix, Source
from kvscen.lint import Linted

#: One fix may make the next one possible: a `let` that only an unused `let` used.
_ROUNDS = 10


def mended(source: Source, lint: Callable[[Source], Linted], code: str | None = None) -> tuple[Source, int]:
    """(the text with its safe fixes applied, how many they are); with `code` those of this code alone. A text with
    errors stays as it is, and so does one that a fix would break."""
    count = 0
    for _ in range(_ROUNDS):
        linted = lint(source)
        fixes = safe_fixes((d for d in linted.diagnostics if code in (None, d.code)), source)
        if linted.plan is None or not fixes:
            break
        better = Source(source.name, apply(source.text, fixes))
        if lint(better).plan is None:
            break
        source, count = better, count + len(fixes)
    return source, count


def safe_fixes(diagnostics: Iterable[Diagnostic], source: Source) -> list[Fix]:
    """Those of one text, none of which touches another, in its order."""
    found = [d.fix for d in diagnostics if d.fix is not None and d.fix.safe and d.fix.span.source is source]
    kept: list[Fix] = []
    for fix in sorted(dict.fromkeys(found), key=lambda fix: (fix.span.start, fix.span.end)):
        if not kept or fix.span.start > kept[-1].span.end:
            kept.append(fix)
    return kept


def apply(text: str, fixes: Iterable[Fix]) -> str:
    """The text with these fixes, which do not overlap."""
    for fix in sorted(fixes, key=lambda fix: fix.span.start, reverse=True):
        text = text[: fix.span.start] + fix.replacement + text[fix.span.end :]
    return text
