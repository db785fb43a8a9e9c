"""KVS415: a plan that uses up more of a device than it may."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.costs import cost_of
from kvscen.lint.rule import TextRule
from kvscen.report.numbers import show_one


class BudgetWear(TextRule):
    code = "KVS415"
    asked = True
    finds = """
With `--budget SHARE --endurance SIZE` (of the data sheet, such as 600TB): a tier on a disk to which the plan writes
at least that share of what the device is rated for.
"""
    why = """
A data sheet promises so many bytes written (TBW). A few sweeps of writes with preconditioning can take a percent of
them, and a run that is repeated each night takes the device with it.
"""
    remedy = "As for [KVS414](KVS414.md): a smaller `working_set`, fewer points that write, less `precondition`."

    def check(self) -> Iterator[Diagnostic]:
        budget = self.subject.budget
        if budget.wear_share is None:
            return
        from kvscen.doctor.device import show_decimal  # with all that looks at the machine

        for tier in cost_of(self.subject).writes:
            rated = budget.endurance.get(tier.tier, budget.endurance.get(""))
            if rated and tier.least_bytes > budget.wear_share * rated:
                yield self.say(
                    f"at least {show_one(tier.least_bytes, 'B')} are written to `{tier.tier}`, "
                    f"{tier.least_bytes / rated * 100:.2g} % of the {show_decimal(rated)} that it is rated for, and "
                    f"the budget is {float(budget.wear_share * 100):g} %",
                    self.subject.scenario.blocks[tier.tier].span,
                    help="use a smaller `working_set`, fewer points that write, or less `precondition`",
                )
