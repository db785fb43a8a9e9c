"""KVS414: a plan that writes more than it may."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.costs import cost_of
from kvscen.lint.rule import TextRule
from kvscen.report.numbers import show_one


class BudgetBytes(TextRule):
    code = "KVS414"
    asked = True
    finds = """
With `--budget SIZE`: a tier on a disk to which the plan writes more than that. Counted is what is known before it
runs: laying out, verification, preconditioning, and of the trials the operations that are counted or that a rate
brings. A closed loop that writes for a time writes at least a batch, and more as the device is faster.
"""
    why = """
Solid-state devices wear by what is written to them, and clouds bill it. A sweep over block sizes lays its data out
anew for each.
"""
    remedy = """
Use a smaller `working_set`, fewer points that write, `verify = off` where a first run has shown that the bytes are
right.
"""

    def check(self) -> Iterator[Diagnostic]:
        limit = self.subject.budget.written_bytes
        if limit is None:
            return
        for tier in cost_of(self.subject).writes:
            if tier.least_bytes > limit:
                yield self.say(
                    f"at least {show_one(tier.least_bytes, 'B')} are written to `{tier.tier}`, and the budget is "
                    f"{show_one(limit, 'B')}",
                    self.subject.scenario.blocks[tier.tier].span,
                    help="use a smaller `working_set` or fewer points that write; `kvscen plan` shows what writes what",
                )
