"""KVS130: a `let` that nothing uses is a constant that the reader believes to count."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.language.syntax import Let
from kvscen.lint.edits import removal
from kvscen.lint.names import expressions, names_of
from kvscen.lint.rule import TextRule


class UnusedLets(TextRule):
    code = "KVS130"
    finds = """
A `let` in a scenario's own file whose name stands in no value and no condition, in this file or those that it uses.
"""
    why = """
A reader takes a constant at the top of the file for one that the measurement depends on, and changes it to see what
happens. Most often its last use was replaced by a number, and the two no longer agree.
"""
    remedy = "Use it where its value stands written out, or take it out: `kvscen lint --fix` does."

    def check(self) -> Iterator[Diagnostic]:
        used = {name for owner, expr in expressions(self.subject.scenario) for name in names_of(expr) if name != owner}
        for item in self.subject.document.items:
            if isinstance(item, Let) and item.name.name not in used:
                yield self.say(
                    f"nothing uses `{item.name.name}`",
                    item.name.span,
                    help="use it, or take it out",
                    fix=Fix(*removal(item.span), safe=True),
                )
