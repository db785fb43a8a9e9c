"""KVS133: an axis with one value varies nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.syntax import Axis, Block, Find, ListExpr, TupleExpr
from kvscen.lint.rule import TextRule


class OneValue(TextRule):
    code = "KVS133"
    finds = "An axis of which one value is written: `pages.op in [read]`."
    why = """
`in` says that something is compared. With one value nothing is, and the table has a column in which all rows are
the same. It may be the rest of a longer list, and then a comparison is missing.
"""
    remedy = """
Write `=`, or the values that are missing. Where the column is wanted, so that the tables of several files have the
same ones, allow it with that reason.
"""

    def check(self) -> Iterator[Diagnostic]:
        for block in self.subject.document.items:
            if not isinstance(block, Block):
                continue
            searched = {item.path.parts for item in block.body if isinstance(item, Find)}  # KVS128 is about these
            for axis in block.body:
                if searched & {path.parts for path in getattr(axis, "paths", ())}:
                    continue
                if isinstance(axis, Axis) and isinstance(axis.values, ListExpr) and len(axis.values.items) == 1:
                    paths = ", ".join(f"`{path}`" for path in axis.paths)
                    yield self.say(
                        f"{paths} {'vary' if len(axis.paths) > 1 else 'varies'} between one value",
                        axis.values.span,
                        help="write `=`, or more values",
                        fix=self._fix(axis, axis.values),
                    )

    def _fix(self, axis: Axis, values: ListExpr) -> Fix | None:
        """Not a safe one: the column of the axis goes with it."""
        [value] = values.items
        if len(axis.paths) > 1 or isinstance(value, TupleExpr):
            return None
        place = Span(axis.span.source, axis.paths[0].span.end, values.span.end)
        return Fix(place, f" = {value.span.text}")
