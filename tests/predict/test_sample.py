"""The curve of a sample against the exact one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.predict import HitCurve, Sample, lru_curve, sampled_curve
from kvscen.predict.sample import hashed
from tests.traces import MOONCAKE, Workload, workload


def zipf_workload(seed: int) -> Workload:
    """400,000 look-ups of requests of 20 neighbouring blocks; where they begin follows Zipf's law."""
    draw = np.random.default_rng(seed)
    begins = 20 * draw.permutation(20_000)[draw.zipf(1.1, 20_000) % 20_000]
    return (begins[:, None] + np.arange(20)).ravel(), np.arange(0, 400_001, 20)


def pieces(ids: np.ndarray, offsets: np.ndarray, count: int) -> Iterator[Workload]:
    for first in range(0, len(offsets) - 1, count):
        part = offsets[first : first + count + 1]
        yield ids[part[0] : part[-1]], part - part[0]


def errors(sampled: HitCurve, exact: HitCurve) -> tuple[np.ndarray, np.ndarray]:
    """Of the hit rate, and the standard error that was stated, over capacities that a sample can tell apart."""
    capacities = np.geomspace(16 / sampled.rate, exact.distinct, 50).astype(int)
    found = [(sampled.at(c).hit_rate - exact.at(c).hit_rate, sampled.at(c).standard_error) for c in capacities]
    return np.array([error for error, _ in found]), np.array([stated for _, stated in found], float)


@pytest.mark.parametrize("policy", ["lru", "lru_tail_first"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_stated_error_holds(policy: str, seed: int) -> None:
    ids, offsets = zipf_workload(seed)
    exact = lru_curve(ids, offsets, policy)
    sampled = sampled_curve(pieces(ids, offsets, 1000), policy, most_lookups=50_000)
    assert sampled.rate in (1 / 8, 1 / 16) and sampled.whole and sampled.prefix_hits is None
    assert (sampled.lookups, sampled.requests) == (exact.lookups, exact.requests)
    assert sampled.distinct == pytest.approx(exact.distinct, rel=0.05)
    assert sampled.at(0).hits == 0
    error, stated = errors(sampled, exact)
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert (np.abs(error) < 4 * stated + 0.002).all()


def test_the_stated_error_holds_for_a_real_trace() -> None:
    ids, offsets = workload(MOONCAKE)
    sampled = sampled_curve([(ids, offsets)], most_lookups=len(ids) // 4)
    error, stated = errors(sampled, lru_curve(ids, offsets))
    assert np.sqrt(np.mean(error**2)) < 0.01 and (np.abs(error) < 4 * stated + 0.002).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), st.sampled_from([300, 2000]))
def test_the_pieces_do_not_matter_and_memory_is_bounded(count: int, most: int) -> None:
    draw = np.random.default_rng(count)
    ids, offsets = draw.zipf(1.3, 4000) % 5000, np.arange(0, 4001, 10)
    sample, whole = Sample(most), Sample(most)
    whole.add(ids, offsets)
    for piece in pieces(ids, offsets, count):
        sample.add(*piece)
        assert len(sample.kept()[0]) <= most
    assert sample.halvings == whole.halvings > 0
    for mine, theirs in zip(sample.kept(), whole.kept(), strict=True):
        assert (mine == theirs).all()


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=9), st.sampled_from(["lru", "lru_tail_first"]))
def test_what_fits_is_exact(requests: list[list[int]], policy: str) -> None:
    ids = np.array([key for keys in requests for key in keys], np.int64)
    offsets = np.cumsum([0, *map(len, requests)])
    exact, sampled = lru_curve(ids, offsets, policy), sampled_curve(pieces(ids, offsets, 2), policy)
    assert sampled.rate == 1 and sampled.standard_error is None and sampled.requests == exact.requests
    for name in ("capacities", "hits", "prefix_hits"):
        assert (getattr(exact, name) == getattr(sampled, name)).all()


def test_the_hash_is_splitmix64() -> None:
    """Its first output for the seed 0, as published with it."""
    assert hashed(np.zeros(1, np.int64)).tolist() == [0xE220A8397B1DCDAF]


def test_a_sample_of_too_few_blocks_is_no_answer() -> None:
    ids, offsets = zipf_workload(1)
    with pytest.raises(ValueError, match="too few to tell anything"):
        sampled_curve([(ids, offsets)], most_lookups=100)


def test_a_sample_of_a_policy_that_has_no_curve_is_refused() -> None:
    ids, offsets = zipf_workload(1)
    with pytest.raises(ValueError, match="not arc"):
        sampled_curve([(ids, offsets)], "arc", most_lookups=1000)
    with pytest.raises(ValueError, match="at least one look-up"):
        Sample(0)
