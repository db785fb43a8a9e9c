"""KVS419: a trial that is over before its queue is full."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point
from kvscen.plugin.arena import buffers_for

#: More than any driver has in flight.
_MOST = 1 << 62


class NeverFull(PointRule):
    code = "KVS419"
    finds = """
A trial of fewer `operations` than its lanes are to have in flight together, `depth` x `threads` x `processes`.
"""
    why = """
The trial ends while its queue still fills: what is called depth 64 was never that deep, and the row does not show
it.
"""
    remedy = "Measure many times more operations than are in flight, or for a `time`."

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work = point.work
        if work.operations is None or work.traffic is not None or work.replay is not None:
            return
        lanes = work.threads * work.processes
        in_flight = lanes * buffers_for(work, _MOST)
        if work.operations < in_flight and self.first("operations"):
            yield self.say(
                f"{work.operations:,} operations are fewer than the {in_flight:,} that are to be in flight",
                self.place("operations"),
                label=at(point),
                help="measure many times as many, or for a `time`",
            )
