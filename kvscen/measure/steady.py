"""When a load is steady: SNIA's criterion (Solid State Storage Performance Test Specification, "Steady State").

A value is steady over the last five rounds when

- the largest and the smallest differ by at most 20 % of the average, and
- the least-squares line through the five rises or falls by at most 10 % of the average from the first to the last.

Here both the throughput and the 99th percentile of the latency must be, the latter where enough operations completed in
each of the five rounds to give one.

An open loop that gets more than the tier can do has an even throughput, the tier's, and a latency that grows by less
and less of itself: SNIA, whose loads are closed, would find it steady sooner or later. One that catches up has an even
throughput as well. So of an open loop what is due and has not ended must not change either: from the end of the first
of the five rounds to the end of the last by at most 1 % of what came due.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.language.blocks import STEADY_ROUNDS as ROUNDS
from kvscen.measure.recorder import Sample

MOST_RANGE = 0.2
MOST_SLOPE = 0.1
MOST_DRIFT = 0.01


@attrs.frozen
class Steadiness:
    """`range` and `slope` are shares of the average, of throughput or p99, whichever is larger; `drift` is the change
    of what was due and had not ended (see there), 0 in a closed loop. None as long as there are fewer than five rounds,
    or nothing completed in them."""

    rounds: int
    range: float | None = None
    slope: float | None = None
    drift: float | None = None

    @property
    def steady(self) -> bool:
        limits = ((self.range, MOST_RANGE), (self.slope, MOST_SLOPE), (self.drift, MOST_DRIFT))
        # A sum of decimal fractions may come out a rounding error above the limit that it equals.
        return all(value is not None and abs(value) <= most + 1e-9 for value, most in limits)


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


def drift(ended: Sequence[int], owed: Sequence[int]) -> float:
    """By how much what was due and had not ended grew (below 0: shrank) from the end of the first round to that of the
    last, as a share of what came due meanwhile, or of what ended if that is more. `ended` are the operations of each
    round, `owed` is what was due and had not ended after it.
    """
    change, served = owed[-1] - owed[0], sum(ended[1:])
    return change / max(served, served + change) if change else 0.0


def judge(
    throughput: Sequence[float],
    p99: Sequence[float | None],
    ended: Sequence[int] = (),
    owed: Sequence[int] = (),
) -> Steadiness:
    """The verdict on the last rounds of a load: one value of each for every round so far, in their order. `ended` and
    `owed` (see `drift`) are empty for a closed loop."""
    rounds = len(throughput)
    last = [value for value in p99[-ROUNDS:] if value is not None]
    series = [throughput[-ROUNDS:]] + ([last] if len(last) == ROUNDS else [])
    found = [excursions(values) for values in series] if rounds >= ROUNDS else [None]
    known = [pair for pair in found if pair is not None]
    if len(known) < len(found):
        return Steadiness(rounds)
    moved = drift(ended[-ROUNDS:], owed[-ROUNDS:]) if owed else 0.0
    return Steadiness(rounds, max(pair[0] for pair in known), max(pair[1] for pair in known), moved)


def judge_rounds(lanes: Sequence[Sample], rounds: int, owed: Sequence[int] = ()) -> Steadiness:
    """The verdict on the first `rounds` intervals of the samples of all lanes, which are the rounds of one load; `owed`
    is what was due and had not ended after each of them, for an open loop."""
    total = Sample(interval_ns=lanes[0].interval_ns)
    for lane in lanes:
        total.merge_intervals(lane)
    rows = total.timeline()[:rounds]
    ended = [row["operations"] or 0 for row in rows]
    p99 = [row["latency_p99_ns"] for row in rows]
    return judge([float(row["moved_bytes"] or 0) for row in rows], p99, ended, owed)
