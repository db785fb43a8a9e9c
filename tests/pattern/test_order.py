"""Orders: passes that touch each key once, and a Zipf distribution that is one."""

from __future__ import annotations

import math
from fractions import Fraction

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.pattern.elementary import exp, expm1, log, log1p
from kvscen.pattern.order import CHUNK, Keys, Order, Permutation, Strided, Zipf
from kvscen.pattern.source import LaneSource
from kvscen.pattern.zipf import ZipfRanks
from kvscen.plan.point import Work


def take(order: Order, count: int) -> np.ndarray:
    chunks: list[np.ndarray] = []
    while sum(map(len, chunks)) < count:
        chunks.append(order.chunk())
    return np.concatenate(chunks)[:count]


# ---- strided


def test_a_stride_wraps_to_the_next_offset() -> None:
    assert take(Strided(10, 4), 12).tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 3, 7, 0, 4]
    assert take(Strided(3, 1), 4).tolist() == [0, 1, 2, 0]
    assert take(Strided(3, 100), 4).tolist() == [0, 1, 2, 0]


@given(st.integers(1, 3 * CHUNK), st.integers(1, 4 * CHUNK))
def test_a_strided_pass_touches_every_key_once(count: int, stride: int) -> None:
    drawn = take(Strided(count, stride), 2 * count)
    expected = [key for offset in range(min(stride, count)) for key in range(offset, count, stride)]
    assert drawn.tolist() == expected * 2


def test_a_stride_over_more_keys_than_fit_in_memory() -> None:
    strided = Strided(2**50 + 3, 2**40)
    assert take(strided, 1026).tolist() == [k * 2**40 for k in range(1025)] + [1]


# ---- zipf


@pytest.mark.parametrize("skew", [0.0, 0.5, 0.99, 1.0, 1.0000001, 1.3, 4.0])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_ranks_are_distributed_as_zipf_says(skew: float, count: int) -> None:
    """Pearson's chi-squared over cells of at least 20 expected draws, against its mean by five standard deviations."""
    ranks = ZipfRanks(count, skew, seed=11)
    drawn = np.concatenate([ranks.draw(CHUNK) for _ in range(25)])
    assert drawn.min() >= 1 and drawn.max() <= count
    weights = np.arange(1, count + 1, dtype=np.float64) ** -skew
    expected = weights / weights.sum() * len(drawn)
    seen = np.bincount(drawn.astype(np.int64) - 1, minlength=count)
    # The tail goes into the last cell that is large enough.
    cells = max(1, int((expected >= 20).sum()))
    starts = np.arange(cells)
    expected, seen = np.add.reduceat(expected, starts), np.add.reduceat(seen, starts)
    statistic = float(((seen - expected) ** 2 / expected).sum())
    assert statistic <= (cells - 1) + 5 * math.sqrt(2 * (cells - 1)) + 1e-9


def test_ranks_over_more_keys_than_fit_in_memory() -> None:
    """P(rank <= m) = H(m) / H(count), with the harmonic numbers of order 1 by Euler and Maclaurin."""
    count, draws = 10**12, 100 * CHUNK
    ranks = ZipfRanks(count, 1.0, seed=3)
    drawn = np.concatenate([ranks.draw(CHUNK) for _ in range(100)])
    total = math.log(count) + 0.5772156649015329
    for most, harmonic in ((1, 1.0), (10, 2.9289682539682538), (10**6, 14.392726722865723)):
        share = harmonic / total
        deviation = math.sqrt(share * (1 - share) / draws)
        assert abs((drawn <= most).mean() - share) < 5 * deviation


def test_draws_are_the_same_everywhere() -> None:
    assert ZipfRanks(1000, 0.99, 7).draw(12).tolist() == [64, 475, 195, 3, 6, 399, 1, 272, 228, 20, 6, 5]
    assert Zipf(1000, 0.99, 7, 1).chunk()[:12].tolist() == [275, 126, 958, 447, 81, 489, 996, 652, 577, 421, 81, 274]


def test_popular_keys_are_scattered_and_the_same_in_every_trial() -> None:
    drawn = [np.bincount(take(Zipf(1000, 0.99, seed, 1), 40_000).astype(np.int64), minlength=1000) for seed in (5, 6)]
    hot = [set(np.argsort(counts)[-5:].tolist()) for counts in drawn]
    assert hot[0] == hot[1]
    assert min(np.diff(sorted(hot[0]))) > 1
    assert drawn[0].tolist() != drawn[1].tolist()


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_is_one(count: int, seed: int) -> None:
    permutation = Permutation(count, np.random.PCG64(seed).random_raw(4))
    assert sorted(permutation.within(np.arange(count, dtype=np.uint64)).tolist()) == list(range(count))


# ---- in a lane


@pytest.mark.parametrize(
    ("order", "more"), [("strided", {"stride": 7}), ("zipf", {"skew": Fraction(99, 100)}), ("random", {})]
)
def test_a_lane_keeps_to_its_share(order: str, more: dict) -> None:
    work = attrs.evolve(Work("read", 4096, 4, 100), order=order, **more)
    source = LaneSource(work, Keys(40, 30), 4096, seed=1)
    keys = np.concatenate([source.next(60, 0)["key"].copy() for _ in range(100)])
    assert set(keys.tolist()) == set(range(40, 70))


# ---- the functions beneath


@given(st.floats(1e-300, 1e300))
def test_log(x: float) -> None:
    assert log(np.array([x]))[0] == pytest.approx(math.log(x), rel=1e-15, abs=2e-16)


@given(st.floats(-600, 600))
def test_exp(x: float) -> None:
    assert exp(np.array([x]))[0] == pytest.approx(math.exp(x), rel=3e-16 * 4)


@given(st.floats(-0.999, 1e6))
def test_log1p(x: float) -> None:
    assert log1p(np.array([x]))[0] == pytest.approx(math.log1p(x), rel=4e-15, abs=1e-300)


@given(st.floats(-600, 600))
def test_expm1(x: float) -> None:
    assert expm1(np.array([x]))[0] == pytest.approx(math.expm1(x), rel=4e-15, abs=1e-300)
