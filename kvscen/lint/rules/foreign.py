"""KVS424: a measure that a point does not have fails there."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.scenario import ExpectDef
from kvscen.lint.rule import ExpectRule, Subject, at
from kvscen.plan.cost import each_tier
from kvscen.plan.point import Expectation, Point
from kvscen.results.measures import driver_measure, measure_named


class Foreign(ExpectRule):
    code = "KVS424"
    finds = """
An expectation of a tier's own measure (`dram.hit_rate`, a column of one driver) at a point that does not reach that
tier or driver.
"""
    why = "The point has no such column: the expectation fails there, however good the figures are."
    remedy = """
Say with `when` which points it is for:

```kvs-part
tier in [cache, disk]
expect dram.hit_rate >= 80 % when tier == cache
```
"""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        #: Measures that tiers have.
        self.known: set[tuple[str, ...]] = set()

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        place = expected.measure, *(each.name for each in each_tier(point.tier))
        if place in self.known:
            return
        tier, dot, _ = expected.measure.rpartition(".")
        if dot:
            missing = tier not in {each.name for each in each_tier(point.tier)}
            why = f"the tier `{point.tier.name}` does not reach `{tier}`"
        else:
            own = self.subject.scenario.drivers[point.tier.driver].measures
            made = (driver_measure(m.name, m.type, m.unit, m.description) for m in own)
            missing = measure_named(expected.measure, [info for info in made if info is not None]) is None
            why = f"the driver `{point.tier.driver}` has no such column"
        if not missing:
            self.known.add(place)
        else:
            yield self.say(
                f"`{expected.measure}` has no value at some points: {why}",
                written.span,
                label=at(point),
                help=f"say which points it is for: `when tier == {tier or '...'}`",
            )
