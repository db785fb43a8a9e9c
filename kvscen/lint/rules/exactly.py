"""KVS411: what a clock measures is never exactly a figure."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.scenario import ExpectDef
from kvscen.language.values import BANDWIDTH, RATE, TIME, TOKEN_RATE
from kvscen.lint.rule import ExpectRule
from kvscen.plan.point import Expectation, Point

_TIMED = (TIME, BANDWIDTH, RATE, TOKEN_RATE)


class Exactly(ExpectRule):
    code = "KVS411"
    finds = "An expectation with `==` or `!=` of something that a clock measures: a time, a bandwidth, a rate."
    why = """
No throughput is 2 GB/s to the byte. With `==` the expectation fails at every point and in every run, with `!=` it
passes at every one. Counts (`errors == 0`) and shares of blocks (`hit_rate == 100 %`) are exact and may be held
against one figure; so are times that a simulated tier computes.
"""
    remedy = """
Say on which side it is to be, or give both bounds:

```kvs-part
expect throughput >= 1.9 GB/s
expect throughput <= 2.1 GB/s
```
"""

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        if expected.operator not in ("==", "!=") or written.info.dimension not in _TIMED or point.tier.virtual:
            return
        if not getattr(expected.value, "value", 0):
            return  # nothing at all is a figure that can be met
        turned = "<=" if written.info.dimension == TIME else ">="
        yield self.say(
            f"`{expected.measure}` is measured, and never exactly {expected.value}",
            written.span,
            help=f"write `{expected.measure} {turned} {expected.value}`",
        )
