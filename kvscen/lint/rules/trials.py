"""KVS401: with fewer than three trials nothing can be said about the spread."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.point import Point

#: The sample standard deviation of two values says little more than that they differ.
ENOUGH = 3


class Trials(PointRule):
    code = "KVS401"
    finds = """
A sweep with fewer than 3 trials, unless all of its points replay a trace on simulated tiers, where every trial is
the same.
"""
    why = """
The trial is the unit of comparison. From one no spread can be told at all, from two hardly any: then a difference
between two points may be nothing but chance.
"""
    remedy = """
Take at least `trials = 3`; the default is 5. If time is short, rather make the trials shorter (`time = 1 s`).
"""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        self.fewest = ENOUGH

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        if not (
            point.tier.virtual and point.work.replay is not None
        ):  # computed from the trace alone: all are the same
            self.fewest = min(self.fewest, point.trials)
        return ()

    def end(self) -> Iterator[Diagnostic]:
        if self.fewest < ENOUGH:
            yield self.say(
                f"{self.fewest} trial{'s do' if self.fewest > 1 else ' does'} not show how far the results of a point "
                "spread",
                self.place("trials"),
                help=f"take at least `trials = {ENOUGH}`; the default is 5",
            )
