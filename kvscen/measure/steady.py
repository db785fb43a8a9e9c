"""When a load is steady: SNIA's criterion (Solid State Storage Performance Test Specification, "Steady State").

A value is steady over the last five rounds when

- the largest and the smallest differ by at most 20 % of the average, and
- the least-squares line through the five rises or falls by at most 10 % of the average from the first to the last.

Here both the throughput and the 99th percentile of the latency must be, the latter where enough operations completed in
each of the five rounds to give one.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.language.blocks import STEADY_ROUNDS as ROUNDS
from kvscen.measure.recorder import Sample

MOST_RANGE = 0.2
MOST_SLOPE = 0.1


@attrs.frozen
class Steadiness:
    """`range` and `slope` are shares of the average, of throughput or p99, whichever is larger; None as long as there
    are fewer than five rounds, or nothing completed in them."""

    rounds: int
    range: float | None = None
    slope: float | None = None

    @property
    def steady(self) -> bool:
        # A sum of decimal fractions may come out a rounding error above the limit that it equals.
        return (
            self.range is not None
            and self.slope is not None
            and self.range <= MOST_RANGE + 1e-9
            and self.slope <= MOST_SLOPE + 1e-9
        )


def excursions(values: Sequence[float]) -> tuple[float, float] | None:
    """(range, rise of the least-squares line from the first to the last) of equally spaced values, each as a share of
    their average; None where that is zero."""
    count = len(values)
    average = sum(values) / count
    if average <= 0:
        return None
    middle = (count - 1) / 2
    slope = sum((i - middle) * value for i, value in enumerate(values)) / sum((i - middle) ** 2 for i in range(count))
    return (max(values) - min(values)) / average, abs(slope) * (count - 1) / average


def judge(throughput: Sequence[float], p99: Sequence[float | None]) -> Steadiness:
    """The verdict on the last rounds of a load: one value of each for every round so far, in their order."""
    rounds = len(throughput)
    last = [value for value in p99[-ROUNDS:] if value is not None]
    series = [throughput[-ROUNDS:]] + ([last] if len(last) == ROUNDS else [])
    found = [excursions(values) for values in series] if rounds >= ROUNDS else [None]
    known = [pair for pair in found if pair is not None]
    if len(known) < len(found):
        return Steadiness(rounds)
    return Steadiness(rounds, max(pair[0] for pair in known), max(pair[1] for pair in known))


def judge_rounds(lanes: Sequence[Sample], rounds: int) -> Steadiness:
    """The verdict on the first `rounds` intervals of the samples of all lanes, which are the rounds of one load."""
    total = Sample(interval_ns=lanes[0].interval_ns)
    for lane in lanes:
        total.merge_intervals(lane)
    rows = total.timeline()[:rounds]
    return judge([float(row["moved_bytes"] or 0) for row in rows], [row["latency_p99_ns"] for row in rows])
