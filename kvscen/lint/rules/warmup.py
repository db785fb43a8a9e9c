"""KVS416: without a warm-up the first operations are part of what is measured."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point


class Warmup(PointRule):
    code = "KVS416"
    finds = "A sweep that measures on a real tier with `warmup = 0 s`."
    why = """
The first operations are unlike the others: caches and clocks are cold, connections open, a queue fills, an SSD
wakes up. In a short window they are a large share of it, and all of its high percentiles.
"""
    remedy = """
Leave `warmup` at its default of 0.5 s, or make it longer; `until = steady` begins the window when the load no
longer changes. To measure the cold start itself, allow it with that reason.
"""

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work = point.work
        if work.warmup_ns or work.until == "steady" or work.replay is not None or point.tier.virtual:
            return
        if self.first("warmup"):
            yield self.say(
                "the window begins with the first operation: there is no warm-up",
                self.place("warmup"),
                label=at(point) if "warmup" in point.axes else "",
                help="leave `warmup` out (0.5 s), or write `until = steady`",
            )
