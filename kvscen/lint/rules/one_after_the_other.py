"""KVS417: points that are measured one after the other are compared with the hour of the day."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.point import Point


class OneAfterTheOther(PointRule):
    code = "KVS417"
    finds = "A sweep of several points and trials with `order = sequential`."
    why = """
Machines drift: they warm up, an SSD fills its cache and tidies up, a neighbour begins to copy. Where all trials of
one point come before those of the next, such a change is taken for a difference between the points. Interleaved,
each point gets its share of it, and it shows as spread.
"""
    remedy = """
Leave `order` at its default, `interleaved`. `sequential` is for tiers that are costly to open or to lay out anew;
allow it there, with that reason.
"""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        self.points = 0

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        self.points += not point.tier.virtual and point.trials > 1 and point.sweep_settings.order == "sequential"
        return ()

    def end(self) -> Iterator[Diagnostic]:
        if self.points > 1:
            yield self.say(
                f"the trials of {self.points} points are run one point after the other: a drift of the machine looks "
                "like a difference between them",
                self.place("order"),
                help="leave `order` out: interleaved, it shows as spread",
            )
