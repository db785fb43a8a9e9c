"""KVS136: words that have a successor still work, and say so."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.language.scenario import Bound, Target
from kvscen.language.syntax import Expr, Name, nodes_below
from kvscen.lint.names import tests_of
from kvscen.lint.rule import TextRule


class Deprecated(TextRule):
    code = "KVS136"
    finds = """
A word that a setting still takes and that has another name now. The language's own settings have none yet; a driver
that renames a word keeps the old one so.
"""
    why = """
It means what it always meant. A later version may not know it any more, and the pages speak of the new one only.
"""
    remedy = "Write the new word: `kvscen lint --fix` does, and changes nothing else."

    def check(self) -> Iterator[Diagnostic]:
        for target, expr in self._given():
            renamed = target.type.renamed
            for node in nodes_below(expr) if renamed else ():
                if isinstance(node, Name) and len(node.path.parts) == 1 and node.path.parts[0] in renamed:
                    old, new = node.path.parts[0], renamed[node.path.parts[0]]
                    yield self.say(
                        f"`{old}` is called `{new}` now",
                        node.span,
                        help=f"write `{new}`",
                        fix=Fix(node.span, new, safe=True) if node.span.source is self.subject.source else None,
                    )

    def _given(self) -> Iterator[tuple[Target, Expr]]:
        scenario = self.subject.scenario
        for block in scenario.blocks.values():
            yield from ((item.target, item.expr) for item in block.settings.values())
        for sweep in scenario.sweeps.values():
            yield from ((item.target, item.expr) for item in sweep.assigned.values())
            for axis in sweep.axes:
                yield from ((target, axis.values) for target in axis.targets)
            for skip in sweep.skips:
                yield from _compared(skip.condition)
            for expect in sweep.expects:
                if expect.when is not None:
                    yield from _compared(expect.when)


def _compared(condition: Bound) -> Iterator[tuple[Target, Expr]]:
    return ((test.target, test.expr) for test in tests_of(condition))
