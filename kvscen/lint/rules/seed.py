"""KVS402: what is drawn at random should be drawn from a seed that stands in the file."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix
from kvscen.lint.edits import addition
from kvscen.lint.rule import PointRule


class Seed(PointRule):
    code = "KVS402"
    finds = "A sweep that does not say its `seed`."
    why = """
The order of the trials, random access, arrivals and the contents of the blocks are drawn from the seed. Where it
stands in the file, the reader of the results can repeat the same draws, and changing it on purpose shows what
depends on chance. Without it the default is used.
"""
    remedy = """
Write `seed = 1`, or any other whole number. `kvscen lint --fix` writes the `seed = 0` that a sweep without one has.
"""

    def end(self) -> Iterator[Diagnostic]:
        pinned = dict(self.subject.plan.pins)
        if self.subject.scenario.writes(self.sweep, "seed") or f"{self.sweep}.seed" in pinned:
            return
        place = addition(self.subject, self.sweep, "seed = 0")
        yield self.say(
            f"sweep `{self.sweep}` does not say its seed",
            self.subject.scenario.sweeps[self.sweep].span,
            help="add `seed = 1`: the order of the trials and everything random is drawn from it",
            fix=None if place is None else Fix(*place, safe=True),
        )
