"""Draws are those of their distribution, the same everywhere, and the same however they are cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.drawn import Drawn, DrawnFrom
from kvscen.language.functions import FUNCTIONS
from kvscen.language.schema import Count, Duration, Measured, Number, Rate, Tokens
from kvscen.pattern.laws import CHUNK, LAWS, Z95, Sampler
from tests.semantics.test_distributions import value

DRAWS = 200_000
NORMAL = NormalDist()


def law(text: str, kind: DrawnFrom | None = None) -> Drawn:
    return (kind or DrawnFrom(Number())).convert(value(text))


def draw(text: str, kind: DrawnFrom | None = None, count: int = DRAWS, seed: int = 5) -> np.ndarray:
    return Sampler(law(text, kind), seed).draw(count)


@pytest.mark.parametrize(
    ("text", "cdf"),
    [
        ("uniform(2, 5)", lambda x: (x - 2) / 3),
        ("lognormal(1000, 4000)", lambda x: NORMAL.cdf(math.log(x / 1000) / (math.log(4) / Z95))),
        ("normal(550, 150)", lambda x: NormalDist(550, 150).cdf(x)),
        ("exponential(3)", lambda x: 1 - math.exp(-x / 3)),
    ],
)
def test_continuous_draws(text: str, cdf: Callable[[float], float]) -> None:
    """Kolmogorov and Smirnov: a larger distance than this comes by chance less than once in ten million."""
    wide = DrawnFrom(Number(minimum=-(2**62)))
    drawn = np.sort(draw(text, wide))
    expected = np.array([cdf(x) for x in drawn])
    steps = np.arange(DRAWS + 1) / DRAWS
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance < math.sqrt(-math.log(1e-7 / 2) / 2 / DRAWS)
    assert len(np.unique(drawn)) > 0.99 * DRAWS


def chi_squared(drawn: np.ndarray, share: Callable[[int], float]) -> None:
    """Against the mean of the statistic by five standard deviations, over cells of at least 20 expected draws."""
    counts = np.bincount(drawn.astype(np.int64))
    expected = np.array([share(k) * len(drawn) for k in range(len(counts))])
    large = expected >= 20
    statistic = ((counts[large] - expected[large]) ** 2 / expected[large]).sum()
    cells = int(large.sum())
    assert cells > 1
    assert statistic <= cells + 5 * math.sqrt(2 * cells)
    rest = expected[~large].sum() + len(drawn) * (1 - sum(share(k) for k in range(len(counts))))
    assert abs(counts[~large].sum() - rest) <= 5 * math.sqrt(rest + 20)


@pytest.mark.parametrize("mean", ["0.01", "0.7", "3.5", "40", "12345.6"])
def test_poisson(mean: str) -> None:
    m = float(mean)
    drawn = draw(f"poisson({mean})", DrawnFrom(Count(0)))
    chi_squared(drawn, lambda k: math.exp(k * math.log(m) - m - math.lgamma(k + 1)))


def test_a_large_poisson_is_a_narrow_normal() -> None:
    drawn = draw("poisson(1e9)", DrawnFrom(Count(0)), 20_000)
    assert abs(drawn.mean() - 1e9) < 5 * math.sqrt(1e9 / 20_000)
    assert 0.97 < drawn.std() / math.sqrt(1e9) < 1.03


def test_zipf() -> None:
    total = sum(k**-1.2 for k in range(1, 51))
    chi_squared(draw("zipf(50, 1.2)", DrawnFrom(Count())), lambda k: k**-1.2 / total if k else 0.0)


def test_whole_uniform_draws_are_equally_likely_at_both_ends() -> None:
    chi_squared(draw("uniform(1, 6)", DrawnFrom(Count())), lambda k: 1 / 6 if k else 0.0)
    assert set(draw("uniform(7, 7)", DrawnFrom(Count()), 100).tolist()) == {7}


def test_empirical() -> None:
    weights = {1: 3.0, 4: 0.0, 7: 1.5, 9: 0.0}
    drawn = draw("empirical([1, 4, 7, 9], [3, 0, 1.5, 0])", DrawnFrom(Count()))
    assert set(drawn.tolist()) == {1, 7}
    chi_squared(drawn, lambda k: weights.get(k, 0.0) / 4.5)
    chi_squared(draw("empirical([2, 1, 2, 3])", DrawnFrom(Count())), lambda k: {1: 0.25, 2: 0.5, 3: 0.25}.get(k, 0.0))


def test_the_95th_percentile_is_that_of_the_normal_distribution() -> None:
    assert pytest.approx(NORMAL.inv_cdf(0.95), rel=1e-15) == Z95


#: Drawn with the seed 42. The first three shares of numpy's PCG64(42) are 0.77396, 0.43888 and 0.85860.
KNOWN = [
    ("uniform(1, 1000)", Count(), [774, 439, 859, 698, 95, 976]),
    ("normal(550 tokens, 150 tokens)", Tokens(), [772, 500, 668, 615, 652, 662]),
    ("lognormal(1000 tokens, 4000 tokens)", Tokens(), [3491, 757, 1936, 1438, 1776, 1876]),
    ("exponential(2 s)", Duration(), [2974051646, 1155635424, 3912295630, 2390475658, 197823481, 7428177234]),
    ("poisson(40)", Count(), [45, 39, 47, 43, 32, 53]),
    ("zipf(1000, 0.99)", Count(), [193, 16, 358, 110, 1, 839]),
    ("empirical([1, 5, 9], [3, 2, 1])", Count(), [5, 1, 9, 5, 1, 9]),
]


@pytest.mark.parametrize(("text", "item", "expected"), KNOWN)
def test_draws_are_the_same_everywhere(text: str, item: Measured, expected: list[int]) -> None:
    assert draw(text, DrawnFrom(item), 6, seed=42).tolist() == expected


def test_every_distribution_has_a_known_draw() -> None:
    assert {text.partition("(")[0] for text, _, _ in KNOWN} == LAWS.keys()
    assert LAWS.keys() == FUNCTIONS.keys() - {"pow2", "linear", "log", "trace", "secret"}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(
        [
            "3",
            "uniform(1, 9)",
            "lognormal(5, 50)",
            "normal(5, 2)",
            "exponential(3)",
            "poisson(4)",
            "zipf(9, 1)",
            "empirical([1, 2], [2, 1])",
        ]
    ),
    st.lists(st.integers(0, 3 * CHUNK), max_size=6),
    st.integers(0, 2**32),
)
def test_the_sequence_does_not_depend_on_how_it_is_cut(text: str, counts: list[int], seed: int) -> None:
    whole = Sampler(law(text, DrawnFrom(Count())), seed).draw(sum(counts))
    sampler = Sampler(law(text, DrawnFrom(Count())), seed)
    parts = [sampler.draw(count) for count in counts]
    assert [len(part) for part in parts] == counts
    assert [each for part in parts for each in part.tolist()] == whole.tolist()


def test_units_limits_and_types() -> None:
    drawn = draw("exponential(2 s)", DrawnFrom(Duration()))
    assert drawn.dtype == np.int64 and abs(drawn.mean() / 2e9 - 1) < 0.02
    drawn = draw("lognormal(50 tokens, 1000 tokens)", DrawnFrom(Tokens(10, 100)))
    assert (drawn.min(), drawn.max()) == (10, 100) and abs(np.median(drawn) - 50) < 2
    drawn = draw("normal(1 /s, 2 /s)", DrawnFrom(Rate()))
    assert drawn.dtype == np.float64 and drawn.min() == 0.0
    assert draw("1.5 s", DrawnFrom(Duration()), 3).tolist() == [1_500_000_000] * 3
    largest = draw("9223372036 s", DrawnFrom(Duration(maximum=2**63 - 1)), 1)
    assert abs(int(largest[0]) - 9223372036 * 10**9) <= 1024
    assert Sampler(Drawn(law("poisson(4)").law, 1, True, Fraction(0), None), 1).draw(0).tolist() == []


def test_other_seeds_give_other_draws() -> None:
    assert draw("uniform(1, 9)", count=20, seed=1).tolist() != draw("uniform(1, 9)", count=20, seed=2).tolist()
