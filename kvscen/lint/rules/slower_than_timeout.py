"""KVS422: operations that come less often than the timeout look like a hang."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.schema import Duration
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point


class SlowerThanTimeout(PointRule):
    code = "KVS422"
    finds = """
A pattern with a `rate` at which the next operation becomes due later than the sweep's `timeout` after the last one.
"""
    why = """
A point in which nothing completes for as long as `timeout` is given up as `hang`. Here nothing is due for so long,
and every trial would end so.
"""
    remedy = "Use a higher `rate`, or a `timeout` of several times the pause between two operations."

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work = point.work
        if work.rate_per_s is None or point.tier.virtual:
            return
        pause = int(10**9 / work.rate_per_s)
        if pause >= work.timeout_ns and self.first(point.pattern.name):
            show = Duration().show
            yield self.say(
                f"an operation is due every {float(pause / 1e9):g} s, and after {show(work.timeout_ns)} without one "
                "the point is given up as hung",
                self.place(f"{point.pattern.name}.rate"),
                label=at(point),
                help="use a higher `rate` or a longer `timeout`",
            )
