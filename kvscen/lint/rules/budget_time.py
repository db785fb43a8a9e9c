"""KVS413: a plan that takes longer than it may."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.costs import cost_of, least_load_ns, longest_sweep
from kvscen.lint.rule import TextRule
from kvscen.report.numbers import duration

#: Where nobody says how long a plan may take.
DEFAULT_NS = 8 * 3600 * 10**9


class BudgetTime(TextRule):
    code = "KVS413"
    finds = """
A plan whose trials take longer than `--budget TIME` says; without one: longer than 8 hours. Counted are the warm-up
and the window of each trial, `ceiling` twice, and what [`kvscen plan`](../sizing.md) allows for laying out and
verifying data.
"""
    why = """
Axes multiply: one more with five values makes an hour five. A run that was meant for the night is still going at
noon, and is broken off without its last points.
"""
    remedy = """
Vary less, shorten `time` or `trials`, or look for the border instead of measuring every step (`find`). `kvscen
plan` shows what each sweep costs; a run that is broken off goes on with `--resume`. Where it may take that long,
say so: `kvscen lint --budget "24 h"`.
"""

    def check(self) -> Iterator[Diagnostic]:
        limit = self.subject.budget.time_ns or DEFAULT_NS
        if least_load_ns(self.subject) <= limit:
            return
        cost = cost_of(self.subject)
        total = cost.load_ns + cost.ceiling_ns + cost.allowance_ns
        if total > limit:
            given = "the budget is" if self.subject.budget.time_ns is not None else "without a budget it may take"
            yield self.say(
                f"running this takes about {duration(total / 1e9)}, and {given} {duration(limit / 1e9)}",
                longest_sweep(self.subject).span,
                label="most of it",
                help="vary less, shorten `time` or `trials`, or search with `find`; `kvscen plan` says what costs what",
            )
