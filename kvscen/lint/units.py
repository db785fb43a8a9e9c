"""KVS110: GB (1000^3 bytes) beside GiB (1024^3 bytes) is mostly a slip, and one of 7 percent."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic
from kvscen.language.syntax import Document, Number
from kvscen.language.values import UNITS
from kvscen.lint.rule import Rule, Subject, nodes_in

#: The decimal unit of a size or a bandwidth -> the binary one that it is mistaken for.
_BINARY = {
    f"{decimal}B{rate}": f"{binary}iB{rate}"
    for decimal, binary in (("k", "K"), ("M", "M"), ("G", "G"), ("T", "T"), ("P", "P"))
    for rate in ("", "/s")
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    numbers = [number for number in numbers_in(subject.document) if number.unit in UNITS]
    for rate in (False, True):  # links are sold in GB/s: only sizes are held against sizes, and rates against rates
        alike = [n for n in numbers if str(n.unit).endswith("/s") == rate]
        binary = next((n for n in alike if n.unit in _BINARY.values()), None)
        if binary is None:
            continue
        for number in alike:
            if number.unit not in _BINARY:
                continue
            other = _BINARY[number.unit]
            exact = number.value * UNITS[number.unit].factor / UNITS[other].factor
            yield diagnostic(
                "KVS110",
                f"`{number.unit}` counts in thousands, and this file also counts in 1024s",
                number.unit_span or number.span,
                label=f"{float(exact):.4g} {other}",
                help=f"write `{other}` if 1024s are meant; else use one kind of unit throughout",
                related=((binary.span, "counts in 1024s"),),
            )


def numbers_in(document: Document) -> Iterator[Number]:
    """Every number of a file, in the order of the text."""
    return (node for node in nodes_in(document) if isinstance(node, Number))


RULE = Rule("KVS110", check)
