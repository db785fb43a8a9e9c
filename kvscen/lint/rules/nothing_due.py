"""KVS425: a window in which hardly anything becomes due."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point

FEWEST = 10


class NothingDue(PointRule):
    code = "KVS425"
    finds = "A trial in whose window fewer than 10 operations become due: `rate` x `time`."
    why = """
Nothing can be said from so few: there is not even a median (it needs 20), and throughput depends on whether the
last one falls inside the window. A rate in a wrong unit looks like this: requests instead of blocks, minutes
instead of seconds.
"""
    remedy = (
        "Make the window longer, or the `rate` higher; it counts operations of all lanes together, each of one block."
    )

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work = point.work
        if work.rate_per_s is None or work.time_ns is None or work.replay is not None or work.traffic is not None:
            return
        due = work.rate_per_s * work.time_ns / 10**9
        if due < FEWEST and self.first(point.pattern.name):
            yield self.say(
                f"{float(due):.3g} operations become due in a window: too few to say anything",
                self.place(f"{point.pattern.name}.rate"),
                label=at(point),
                help="make `time` longer or `rate` higher",
            )
