"""How long users wait for each other's thinking, against a clock that is looked at every nanosecond."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvscen.pattern.order_wait import order_wait

STEPS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(0, 70)), max_size=12)


def plainly(start: int, due: list[int], begun: list[int], paused: list[int]) -> list[int]:
    waits = [0] * len(due)
    for now in range(start, max(begun, default=0)):
        first = next(step for step, began in enumerate(begun) if began > now)
        if due[first] - paused[first] <= now < due[first]:
            for step in range(first + 1, len(due)):
                waits[step] += due[step] <= now < begun[step]
    return waits


@given(STEPS, st.integers(0, 5))
def test_as_a_clock_counts_it(steps: list[tuple[int, int, int]], start: int) -> None:
    due = [start + after for after, _, _ in steps]
    begun, now = [], start
    for own, (_, late, _) in zip(due, steps, strict=True):
        now = max(now, own) + late
        begun.append(now)
    paused = [pause for _, _, pause in steps]
    found = order_wait(start, *(np.array(each, np.int64) for each in (due, begun, paused)))
    assert found.tolist() == plainly(start, due, begun, paused)
    for wait, own, began in zip(found.tolist(), due, begun, strict=True):
        assert 0 <= wait <= began - own


def test_by_hand() -> None:
    """The second thinks until 100 and the third, due at 10, waits for that. The fourth is served until 150 and thinks
    until 180; the fifth is due at 120 and waits for the thinking alone."""
    due, begun, paused = [0, 100, 10, 180, 120], [0, 100, 100, 180, 180], [0, 95, 0, 30, 0]
    found = order_wait(0, *(np.array(each, np.int64) for each in (due, begun, paused)))
    assert found.tolist() == [0, 0, 90, 0, 30]
