"""KVS409: an expectation that cannot be met fails whatever is measured."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from kvscen.language.diagnose import Diagnostic
from kvscen.language.scenario import ExpectDef
from kvscen.language.schema import Bandwidth
from kvscen.lint.rule import ExpectRule, at
from kvscen.plan.point import Expectation, Point, Work

#: So much more than what is offered may complete in a window: what was left over from the warm-up.
_LEFT_OVER = Fraction(105, 100)


class Unmet(ExpectRule):
    code = "KVS409"
    finds = """
An expectation that a point cannot meet: more throughput than its `rate` offers or than the tier lets through by its
own settings, less than zero, more than 100 %, or two that exclude each other.
"""
    why = """
The run ends with a failed expectation and says nothing about the storage. With a `rate` the load is given: what is
expected beyond it can only be missed. In a sweep over rates the lowest ones are easily forgotten.
"""
    remedy = """
Expect what can be had, and say with `when` which points it is for:

```kvs-part
pages.rate in [100 /s, 1000 /s, 10000 /s]
expect throughput >= 2 GB/s when pages.rate == 10000 /s
expect latency_p99 <= 5 ms
```
"""

    def see(self, point: Point) -> Iterator[Diagnostic]:
        yield from super().see(point)
        yield from self._against_each_other(point)

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        reason = self._reason(point, expected, written)
        if reason:
            yield self.say(
                f"`{expected.text.removeprefix('expect ')}` cannot be met: {reason}",
                written.span,
                label=at(point),
                help="expect what can be had, or say with `when` which points it is for",
            )

    def _reason(self, point: Point, expected: Expectation, written: ExpectDef) -> str:
        limit = _number(expected)
        if limit is None:
            return ""
        info, least = written.info, expected.operator in (">", ">=")
        if not least:
            below = limit < 0 or (limit == 0 and expected.operator == "<")
            return (
                "nothing is less than zero"
                if below and expected.operator != "!=" and _never_below_zero(info.name)
                else ""
            )
        if info.percent and (limit > 1 or (limit == 1 and expected.operator == ">")):
            return "there is no more than 100 %"
        if "." in expected.measure:
            return ""
        for name, most, what in _most(point, self._let_through(point)):
            if info.name == name and limit > most:
                return what
        return ""

    def _let_through(self, point: Point) -> Fraction | None:
        driver = self.subject.scenario.drivers[point.tier.driver]
        return driver.most_bytes_per_s(point.tier, point.work)

    def _against_each_other(self, point: Point) -> Iterator[Diagnostic]:
        if len({expected.measure for expected in point.expectations}) == len(point.expectations):
            return
        lowest: dict[str, tuple[Fraction, Expectation]] = {}
        highest: dict[str, tuple[Fraction, Expectation]] = {}
        for expected in point.expectations:
            limit = _number(expected)
            if limit is None:
                continue
            if expected.operator in (">", ">=", "==") and limit > lowest.get(expected.measure, (limit - 1,))[0]:
                lowest[expected.measure] = limit, expected
            if expected.operator in ("<", "<=", "==") and limit < highest.get(expected.measure, (limit + 1,))[0]:
                highest[expected.measure] = limit, expected
        for measure in lowest.keys() & highest.keys():
            (low, one), (high, other) = lowest[measure], highest[measure]
            if low > high or (low == high and "<" in (one.operator[-1:] + other.operator).replace("<=", "")):
                first, second = sorted((one, other), key=lambda each: self._written[each.text].span.start)
                yield self.say(
                    f"`{measure}` cannot be both {_said(first)} and {_said(second)}",
                    self._written[second.text].span,
                    label=at(point),
                    help="say with `when` which points each of them is for",
                    related=((self._written[first.text].span, "the other one"),),
                )


def _said(expected: Expectation) -> str:
    return f"{expected.operator} {expected.value}"


def _number(expected: Expectation) -> Fraction | None:
    value = getattr(expected.value, "value", None)
    return value if isinstance(value, Fraction) else None


def _never_below_zero(name: str) -> bool:
    return name not in ("steady_slope", "steady_drift")


def _most(point: Point, let_through: Fraction | None) -> Iterator[tuple[str, Fraction, str]]:
    """(measure, the most that it can be, why)."""
    work = point.work
    if work.rate_per_s is not None and work.traffic is None and work.replay is None:
        offered = work.rate_per_s * _LEFT_OVER * _luck(work)
        shown = Bandwidth().show(work.rate_per_s * work.block_bytes)
        why = f"the pattern offers {float(work.rate_per_s):g} operations a second, {shown}"
        yield "throughput", offered * work.block_bytes, why
        yield "operations_per_s", offered, why
        yield "achieved", offered, why
        yield "offered", offered, why
    if let_through is not None:
        yield (
            "throughput",
            let_through,
            f"by its own settings `{point.tier.name}` lets {Bandwidth().show(let_through)} through",
        )


def _luck(work: Work) -> Fraction:
    """By how much random arrivals may bring more than their rate, five standard deviations of a count."""
    if work.arrival == "constant" or work.time_ns is None or work.rate_per_s is None:
        return Fraction(1)
    expected = float(work.rate_per_s) * work.time_ns / 1e9
    return Fraction(1) + Fraction(5 / max(expected, 1e-9) ** 0.5)
