"""KVS412: the latency of a closed loop leaves out what waits behind a slow operation."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.scenario import ExpectDef
from kvscen.lint.rule import ExpectRule, at
from kvscen.plan.point import Expectation, Point
from kvscen.results.measures import MEASURES


class ClosedLoop(ExpectRule):
    code = "KVS412"
    finds = """
An expectation of a high percentile of `latency` (p95 and above) at a point whose pattern has no `rate`: each
operation is submitted when an earlier one has ended.
"""
    why = """
A closed loop waits. While one operation is slow the next ones are not submitted, so the moment in which every
caller would have waited counts as one slow operation: the percentile looks better than any user would find it
(coordinated omission). It also follows the `depth`: half as many in flight, half the latency.
"""
    remedy = """
Judge an open loop: give the pattern a `rate` that the service has to keep up with. Where the time of the single
operation is meant, say so with `service_p99`: in a closed loop it is the same figure, and claims no more.

```kvs-part
pages.rate    = 2000 /s
pages.arrival = poisson
expect latency_p99 <= 5 ms
```
"""

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        work = point.work
        if work.rate_per_s is not None or work.traffic is not None or work.replay is not None:
            return
        service = expected.measure.replace("latency_", "service_", 1)
        if not expected.measure.startswith("latency_p9") or service not in MEASURES:
            return
        start = written.span.start + written.span.text.index("latency_")
        yield self.say(
            f"`{expected.measure}` of a closed loop leaves out what waits behind a slow operation",
            written.span,
            label=at(point),
            help=f"give the pattern a `rate`, or write `{service}`: the same figure here, and it says what it is",
            fix=Fix(Span(written.span.source, start, start + len("latency_")), "service_"),
        )
