"""Mistakes in `find`."""

from __future__ import annotations

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.language.mistakes.wrong import COMPARISONS, Wrong
from kvscen.language.scan import FINDS
from kvscen.language.suggest import closest

_EDGE = "find highest PATH where MEASURE <= VALUE"
_SATURATION = "find saturation of MEASURE over PATH"

_MEANT = {
    "max": "highest",
    "maximum": "highest",
    "largest": "highest",
    "most": "highest",
    "min": "lowest",
    "minimum": "lowest",
    "smallest": "lowest",
    "least": "lowest",
    "knee": "saturation",
    "plateau": "saturation",
}


def find(wrong: Wrong) -> Diagnostic | None:
    if not wrong.judges or wrong.text(0) != "find":
        return None
    if wrong.at == 1:
        return _kind(wrong)
    return _edge(wrong) if wrong.text(1) in ("highest", "lowest") else _saturation(wrong)


def _kind(wrong: Wrong) -> Diagnostic:
    word, span = wrong.text(1), wrong.span(1)
    if not word:
        return diagnostic("KVS034", "what should be found?", wrong.span(0), help=f"write `{_EDGE}` or `{_SATURATION}`")
    meant = _MEANT.get(word.lower()) or closest(word, FINDS)
    return diagnostic(
        "KVS034",
        f"`find` looks for the `highest`, the `lowest` or the `saturation`, not for `{word}`",
        span,
        help=f"did you mean `{meant}`?" if meant else f"write `{_EDGE}` or `{_SATURATION}`",
        fix=Fix(span, meant) if meant else None,
    )


def _edge(wrong: Wrong) -> Diagnostic | None:
    i, form = wrong.at, _EDGE.replace("highest", wrong.text(1))
    behind = wrong.path_end(2)
    if behind == 2 or (i == 3 and wrong.text(2) in ("where", "when", "if")):
        return diagnostic(
            "KVS034", f"an axis is missing after `{wrong.text(1)}`", wrong.span(min(i, 2)), help=f"write `{form}`"
        )
    if i == behind:
        return _missing(wrong, "where", ("when", "if", "while", "with", "for", "such"), form)
    if wrong.text(i) == "or":
        return diagnostic(
            "KVS034",
            "the conditions of a search are joined by `and`",
            wrong.span(i),
            help="look for each by itself, in a sweep of its own",
        )
    if i == behind + 1:
        return diagnostic("KVS034", "a measure is missing after `where`", wrong.span(i), help=f"write `{form}`")
    if wrong.text(i) == "when":
        return diagnostic(
            "KVS034",
            "a search has no `when`",
            wrong.span(i, len(wrong.words)),
            help="each combination of the other axes is searched by itself; give others to another sweep",
        )
    return None


def _saturation(wrong: Wrong) -> Diagnostic | None:
    i = wrong.at
    if i == 2:
        return _missing(wrong, "of", ("in", "for"), _SATURATION)
    behind = wrong.path_end(3)
    if behind == 3:
        return diagnostic("KVS034", "a measure is missing after `of`", wrong.span(i), help=f"write `{_SATURATION}`")
    if i == behind:
        return _missing(wrong, "over", ("by", "in", "along", "of", "on", "for"), _SATURATION)
    end = wrong.path_end(behind + 1)
    if end == behind + 1:
        return diagnostic("KVS034", "an axis is missing after `over`", wrong.span(i), help=f"write `{_SATURATION}`")
    if i == end and wrong.text(i) in ("where", "when", *COMPARISONS):
        return diagnostic(
            "KVS034",
            "a saturation has no condition",
            wrong.span(i, len(wrong.words)),
            help="it ends where the measure no longer rises by more than a share: `within 5 %`",
        )
    if i == end:
        return _missing(wrong, "within", ("by", "to", "at", "up"), f"{_SATURATION} within 5 %")
    return None


def _missing(wrong: Wrong, word: str, instead: tuple[str, ...], form: str) -> Diagnostic:
    i, span = wrong.at, wrong.span(wrong.at)
    if wrong.text(i) in instead:
        return diagnostic("KVS034", f"`find` asks for `{word}` here", span, help=f"write `{word}`", fix=Fix(span, word))
    return diagnostic("KVS034", f"`{word}` is missing in this `find`", span, help=f"write `{form}`")
