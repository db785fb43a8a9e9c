"""KVS134: a value that stands in an axis twice is measured once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.syntax import Axis, Block, Boolean, Expr, ListExpr, Name, Number, Text, TupleExpr
from kvscen.language.values import UNITS
from kvscen.lint.rule import TextRule


class ValueTwice(TextRule):
    code = "KVS134"
    finds = """
A value, or a row of a grouped axis, that is written twice in the list of one axis, be it in other units: `1024 KiB`
and `1 MiB`.
"""
    why = """
Points that come out equal are one, so the second value adds nothing: no row, no trial. Whoever wrote it meant
another value, or more trials.
"""
    remedy = """
Write the value that was meant, or take it out: `kvscen lint --fix` does. To measure a point more often set
`trials`.
"""

    def check(self) -> Iterator[Diagnostic]:
        for block in self.subject.document.items:
            if isinstance(block, Block):
                for axis in block.body:
                    if isinstance(axis, Axis) and isinstance(axis.values, ListExpr):
                        yield from self._of(axis.values.items)

    def _of(self, items: tuple[Expr, ...]) -> Iterator[Diagnostic]:
        first: dict[Hashable, Expr] = {}
        for number, item in enumerate(items):
            known = first.setdefault(_value(item), item)
            if known is not item:
                before = items[number - 1].span.end
                yield self.say(
                    f"`{item.span.text}` stands in this axis twice, and is measured once",
                    item.span,
                    help="write the value that was meant; `trials` says how often each point is measured",
                    related=((known.span, "it stands here first"),),
                    fix=Fix(Span(item.span.source, before, item.span.end), "", safe=True),
                )


def _value(item: Expr) -> Hashable:
    """What tells two written values apart; of what has to be computed its text."""
    match item:
        case Number() if item.unit is None or item.unit in UNITS:
            unit = None if item.unit is None else UNITS[item.unit]
            return "number", item.value * (1 if unit is None else unit.factor), unit and (unit.dimension, unit.percent)
        case Text() | Boolean():
            return type(item).__name__, item.value
        case Name():
            return "name", item.path.parts
        case TupleExpr():
            return "row", tuple(_value(part) for part in item.items)
        case _:
            return "text", item.span.text
