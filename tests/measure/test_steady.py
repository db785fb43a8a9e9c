"""SNIA's criterion of a steady state, by known answers."""

from __future__ import annotations

import pytest

from kvscen.measure.recorder import Recorder, Window
from kvscen.measure.steady import Steadiness, drift, excursions, judge, judge_rounds
from tests.measure.test_recorder import MS, remember, rows

NONE = [None] * 20


def steady(*throughput: float) -> bool:
    return judge(throughput, NONE[: len(throughput)]).steady


def test_known_excursions() -> None:
    assert excursions([100, 100, 100, 100, 100]) == (0, 0)
    # The line through 96, 98, ... 104 rises by 8 of an average of 100.
    assert excursions([96, 98, 100, 102, 104]) == pytest.approx((0.08, 0.08))
    # Symmetric noise has no slope.
    assert excursions([100, 110, 80, 110, 100]) == pytest.approx((0.3, 0.0))
    # slope = sum((i - 2) y) / 10 = (-2 * 90 - 95 + 100 + 2 * 130) / 10 = 8.5; 4 * 8.5 / 104
    assert excursions([90, 95, 105, 100, 130]) == pytest.approx((40 / 104, 34 / 104))
    assert excursions([0, 0, 0, 0, 0]) is None


def test_flat_is_steady_from_the_fifth_round_on() -> None:
    assert judge([100.0] * 4, NONE[:4]) == Steadiness(4)
    assert judge([100.0] * 5, NONE[:5]) == Steadiness(5, 0.0, 0.0, 0.0)
    assert not steady(*[100] * 4)
    assert steady(*[100] * 5)


def test_the_limits_belong_to_it() -> None:
    assert steady(100, 110, 100, 90, 100)  # a range of exactly 20 %; the line falls by 8 %
    assert not steady(100, 111, 100, 90, 100)
    assert steady(95, 97.5, 100, 102.5, 105)  # a rise of exactly 10 %
    assert not steady(94, 97, 100, 103, 106)  # 12 %, within the range


def test_only_the_last_five_rounds_count() -> None:
    assert steady(300, 200, 100, 100, 100, 100, 100)
    assert not steady(100, 100, 100, 100, 100, 60)


def test_a_step_is_steady_once_it_lies_five_rounds_back() -> None:
    load = [100.0] * 5 + [50.0] * 5
    verdicts = [steady(*load[:rounds]) for rounds in range(1, 11)]
    assert verdicts == [False] * 4 + [True] + [False] * 4 + [True]


def test_the_latency_must_be_steady_too() -> None:
    flat = [100.0] * 5
    rising = [1000, 1100, 1200, 1300, 1400]
    verdict = judge(flat, rising)
    assert not verdict.steady
    assert (verdict.range, verdict.slope) == pytest.approx((1 / 3, 1 / 3))
    assert judge(flat, [*rising[:4], None]).steady, "without a p99 in each round the throughput decides"
    assert not judge([0.0] * 5, NONE[:5]).steady, "nothing completed"


def test_known_drifts() -> None:
    assert drift([100] * 5, [7, 7, 7, 7, 7]) == 0
    # 400 ended after the first round and 100 more were due than then: of 500 a fifth is left over.
    assert drift([100] * 5, [10, 35, 60, 85, 110]) == 1 / 5
    # 400 ended, of which 40 were older.
    assert drift([100] * 5, [50, 40, 30, 20, 10]) == -1 / 10
    assert drift([0] * 5, [0, 10, 20, 30, 40]) == 1, "nothing ended"
    assert drift([100] * 5, [400, 300, 200, 100, 0]) == -1, "nothing came due"
    assert drift([0] * 5, [9] * 5) == 0


def test_an_open_loop_must_keep_up() -> None:
    flat = [100.0] * 50
    ended = [100] * 50

    def verdict(owed: list[int], p99: list[float | None] = NONE) -> Steadiness:
        rounds = len(owed)
        return judge(flat[:rounds], (p99 * 3)[:rounds], ended[:rounds], owed)

    assert verdict([3, 1, 4, 1, 5]).steady
    assert verdict([0, 1, 2, 3, 4]).steady, "4 of 404: less than 1 %"
    assert not verdict([0, 2, 3, 4, 5]).steady, "5 of 405"
    # A latency that grows by the same amount in each round is, after so many rounds, an even one to SNIA.
    rising = [10.0 * (number + 1) for number in range(50)]
    owed = [10 * number for number in range(50)]
    assert judge(flat, rising).steady
    found = judge(flat, rising, ended, owed)
    assert not found.steady and found.drift == pytest.approx(40 / 440)
    # It falls behind, catches up, and is steady when five rounds have neither.
    owed = [0, 200, 150, 100, 50, 0, 0, 0, 0, 0]
    assert [verdict(owed[:rounds]).steady for rounds in range(5, 11)] == [False] * 5 + [True]


def test_rounds_of_several_lanes_are_judged_together() -> None:
    """Two lanes that take turns: neither is steady, both together are."""
    samples = []
    for lane in range(2):
        recorder = Recorder(Window(0, 1000 * MS), 1, 1, False, interval_ns=100 * MS)
        for number in range(10):
            times = 10 if number % 2 == lane else 2
            remember(recorder, *rows(*[(number * 100, number * 100, number * 100 + 50 + i) for i in range(times)]))
        samples.append(recorder.finish())
    assert judge_rounds(samples, 5) == Steadiness(5, 0.0, 0.0, 0.0)
    # The same as an open loop: 12 operations ended in each round, and one more each time was left over.
    assert judge_rounds(samples, 5, [0, 1, 2, 3, 4]) == Steadiness(5, 0.0, 0.0, 4 / 52)
    assert not judge_rounds(samples[:1], 5).steady
    assert judge_rounds(samples, 3) == Steadiness(3)
