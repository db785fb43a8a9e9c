"""Prompt lengths that are drawn."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from kvscen.pattern.prompts import normal_prompts


def test_the_same_everywhere() -> None:
    # Held fast: another machine, or another version of numpy, must draw these.
    assert normal_prompts(8, 16000, 10000, 1000, 128000, seed=7) == (
        18569,
        24157,
        23088,
        8935,
        12160,
        23179,
        30268,
        14460,
    )


def test_a_normal_distribution() -> None:
    drawn = normal_prompts(20_000, 16_000, 3_000, 1, None, seed=1)
    assert abs(statistics.fmean(drawn) - 16_000) < 4 * 3_000 / 20_000**0.5
    assert abs(statistics.stdev(drawn) / 3_000 - 1) < 0.02
    within = sum(13_000 <= value <= 19_000 for value in drawn) / len(drawn)
    assert abs(within - 0.6827) < 0.02


@given(st.integers(1, 300), st.integers(1, 10_000), st.integers(1, 10_000), st.integers(0, 2**63 - 1))
def test_within_the_limits_and_the_first_do_not_depend_on_the_count(
    count: int, mean: int, spread: int, seed: int
) -> None:
    drawn = normal_prompts(count, mean, spread, 5, 6000, seed)
    assert len(drawn) == count and all(5 <= value <= 6000 for value in drawn)
    assert normal_prompts(count + 50, mean, spread, 5, 6000, seed)[:count] == drawn
