"""Mistakes in names: those of other programs, with quotes, dashes and points."""

from __future__ import annotations

import re

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.mistakes.wrong import Wrong
from kvscen.language.published import instead_of

#: As people name models, devices and folders.
_FOREIGN_NAME = re.compile(r"[\w.~/@+-]+(?::[\w.~/@+-]+)*")


def base(wrong: Wrong) -> Diagnostic | None:
    """`model m : "meta-llama/Llama-3.1-70B"`, `model m : llama-3.1-70b`, `tier t : "posix"`, `tier t : /mnt/nvme`."""
    if wrong.start not in ("header", "item") or wrong.text(2) != ":" or wrong.at < 3:
        return None
    kind, first = wrong.text(0), wrong.span(3)
    if wrong.kind(3) == "string":
        named, span = first.text[1:-1], first
    else:
        found = _FOREIGN_NAME.match(wrong.source.text, first.start, wrong.end)
        stopped = wrong.span(wrong.at).start
        if found is None or not found.start() <= stopped < found.end():
            return None
        named, span = found[0], Span(wrong.source, found.start(), found.end())
    if re.fullmatch(r"[A-Za-z_]\w*", named, re.ASCII):
        return diagnostic(
            "KVS025", "the name of a base stands without quotes", span, help=f"write `{named}`", fix=Fix(span, named)
        )
    if kind == "model":
        return diagnostic("KVS020", f"`{named}` is not the name of a model here", span, help=instead_of(named))
    help = f"names are made of letters, digits and `_`: {_mended(named)}"
    if kind == "tier" and "/" in named:
        help = f'the base is a driver, and the place its setting: tier {wrong.text(1)} : posix {{ path = "{named}" }}'
    return diagnostic("KVS020", f"`{named}` is not the name of a base", span, help=help)


def pointed(wrong: Wrong) -> Diagnostic | None:
    """`model = llama3.1-8b`: the grammar stops at the digits behind the point."""
    i = wrong.at if wrong.text(wrong.at) == "." else wrong.at - 1
    behind_name = wrong.text(i) == "." and wrong.kind(i + 1) == "number" and wrong.kind(i - 1) == "name"
    if not (behind_name and wrong.adjacent(i - 1) and wrong.adjacent(i)):
        return None
    found = _FOREIGN_NAME.match(wrong.source.text, _begin(wrong, i - 1), wrong.end)
    assert found is not None, "a name begins there"
    span = Span(wrong.source, found.start(), found.end())
    help = f"names are made of letters, digits and `_`: {_mended(found[0])}"
    percentile = re.fullmatch(r"(?:latency_)?p(99\.9+)", found[0])
    if percentile:
        help = f"write `latency_p{percentile[1].replace('.', '')}`"
    if wrong.text(0) == "model" or ".model" in wrong.span(0, 2).text:
        help = instead_of(found[0])
    return diagnostic("KVS020", f"`{found[0]}` is not a name", span, help=help)


def _begin(wrong: Wrong, index: int) -> int:
    """Where the name begins of which this word is a part: `meta-llama/Llama-3.1`."""
    while wrong.adjacent(index - 1) and wrong.text(index - 1) in ("-", "/", ".") and wrong.kind(index - 2) == "name":
        if not wrong.adjacent(index - 2):
            break
        index -= 2
    return wrong.words[index].start


def _mended(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", name.rpartition("/")[2])
