"""KVS110: GB (1000^3 bytes) beside GiB (1024^3 bytes) is mostly a slip, and one of 7 percent."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.syntax import Document, Number, nodes_below
from kvscen.language.values import UNITS
from kvscen.lint.rule import TextRule

#: The decimal unit of a size or a bandwidth -> the binary one that it is mistaken for.
_BINARY = {
    f"{decimal}B{rate}": f"{binary}iB{rate}"
    for decimal, binary in (("k", "K"), ("M", "M"), ("G", "G"), ("T", "T"), ("P", "P"))
    for rate in ("", "/s")
}


class Units(TextRule):
    code = "KVS110"
    finds = """
A size in `kB`, `MB`, `GB`, `TB` or `PB` in a file that also has sizes in `KiB`, `MiB`, `GiB`...; likewise for
bandwidths.
"""
    why = """
`GB` is 1000^3 bytes and `GiB` 1024^3, which is 7 % more; for `TB` it is 10 %. Other tools use the words the other
way round, so both in one file is mostly a slip, and shows as a throughput that is a few percent off.
"""
    remedy = """
Use one kind of unit throughout. Sizes are held against sizes and bandwidths against bandwidths: links are sold in
`GB/s` and `Gbit/s` (bits are never warned of), and that may stand beside a block of `1 MiB`.
"""

    def check(self) -> Iterator[Diagnostic]:
        numbers = [number for number in numbers_in(self.subject.document) if number.unit in UNITS]
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
                yield self.say(
                    f"`{number.unit}` counts in thousands, and this file also counts in 1024s",
                    number.unit_span or number.span,
                    label=f"{float(exact):.4g} {other}",
                    help=f"write `{other}` if 1024s are meant; else use one kind of unit throughout",
                    related=((binary.span, "counts in 1024s"),),
                )


def numbers_in(document: Document) -> Iterator[Number]:
    """Every number of a file, in the order of the text."""
    return (node for node in nodes_below(document.items) if isinstance(node, Number))
