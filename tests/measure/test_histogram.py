"""The histogram: at most 1 % off, merging is adding, percentiles only where enough lies above."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvscen.measure.histogram import BUCKETS, MIN_ABOVE, Histogram, bounds, bucket_of, largest

VALUES = st.lists(st.integers(0, 2**42 - 1), min_size=1, max_size=200)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.add(np.array(values, np.int64))
    return histogram


@given(st.integers(1, 2**42 - 1))
def test_a_value_lies_in_its_bucket_and_the_bucket_is_narrow(value: int) -> None:
    bucket = int(bucket_of(np.array([value], np.int64))[0])
    lower, upper = bounds()
    assert lower[bucket] <= value < max(upper[bucket], lower[bucket] + 1)
    middle = (int(lower[bucket]) + max(int(lower[bucket]), int(upper[bucket]) - 1)) / 2
    assert abs(middle - value) <= 0.01 * value


def test_buckets_are_in_order_and_without_gaps() -> None:
    lower, upper = bounds()
    assert len(lower) == BUCKETS
    assert (lower[1:] == upper[:-1]).all()
    assert (np.diff(lower) >= 0).all()


def test_what_does_not_fit_is_kept_at_the_ends() -> None:
    histogram = filled([0, 2**50])
    assert (histogram.counts[0], histogram.counts[-1], histogram.largest) == (1, 1, 2**50)


@given(VALUES, VALUES)
def test_merging_is_the_same_as_adding_all(first: list[int], second: list[int]) -> None:
    merged = filled(first)
    merged.merge(filled(second))
    together = filled(first + second)
    assert (merged.counts == together.counts).all()
    for name in ("number", "total", "smallest", "largest"):
        assert getattr(merged, name) == getattr(together, name)


@given(st.lists(st.integers(1, 10**9), min_size=20, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
def test_a_percentile_is_that_of_the_values_within_one_percent(values: list[int], share: float) -> None:
    found = filled(values).percentile(share)
    rank = int(np.ceil(share * len(values) - 1e-9))
    if len(values) - rank < MIN_ABOVE:
        assert found is None
    else:
        exact = sorted(values)[rank - 1]
        assert found is not None and abs(found - exact) <= 0.01 * exact


def test_a_percentile_needs_ten_operations_above_it() -> None:
    assert filled([5] * 999).percentile(0.99) is None
    assert filled([5] * 1000).percentile(0.99) == 5
    assert filled([5] * 19).percentile(0.5) is None
    assert filled([5] * 20).percentile(0.5) == 5


def test_buckets_give_back_the_number_of_values() -> None:
    histogram = filled([1, 1000, 1000, 10**9])
    lower, upper, count = histogram.buckets()
    assert sum(count) == 4 and len(lower) == len(upper) == 3
    assert largest(histogram.counts) is not None
    assert largest(np.zeros(BUCKETS, np.int64)) is None
