"""KVS418: a very short window measures a few slices of the scheduler."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.schema import Duration
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point

#: Some ticks of the scheduler, one pause of a garbage collector or of a device.
SHORTEST_NS = 100 * 10**6


class ShortWindow(PointRule):
    code = "KVS418"
    finds = "A sweep that measures a real tier for less than 100 ms (`time`)."
    why = """
One slice of the scheduler, one pause of a device or one timer is a large share of such a window, and throughput is
counted at its two ends: whether the last block falls inside is luck. The spread between trials shows it, and cannot
mend it.
"""
    remedy = """
Measure for at least a second. To count operations instead of time set `operations`: that window ends with the last
of them.
"""

    def see(self, point: Point) -> Iterator[Diagnostic]:
        window = point.work.time_ns
        if window is None or window >= SHORTEST_NS or point.tier.virtual:
            return
        if self.first("time"):
            yield self.say(
                f"a window of {Duration().show(window)} is a few slices of the scheduler",
                self.place("time"),
                label=at(point) if "time" in point.axes else "",
                help="measure for a second or more, or count `operations`",
            )
