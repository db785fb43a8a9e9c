"""Each policy of one level against its paper."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import POLICIES, CacheLevel, TieredCache

from .naive import NAIVE

skewed = st.integers(0, 200).map(lambda n: min(n // 4, n % 17))


def access(cache: TieredCache, key: int) -> bool:
    hit = cache.read(key) is not None
    if not hit:
        cache.write(key)
    return hit


@pytest.mark.parametrize("policy", NAIVE)
@settings(deadline=None, max_examples=200)
@given(capacity=st.integers(1, 25), keys=st.lists(skewed, max_size=200))
def test_as_the_paper_has_it(policy: str, capacity: int, keys: list[int]) -> None:
    cache, naive = TieredCache([CacheLevel(capacity)], policy), NAIVE[policy](capacity)
    for key in keys:
        assert access(cache, key) == naive.access(key)
        assert set(cache.keys(0)) == naive.held()


@pytest.mark.parametrize("policy", NAIVE)
def test_a_long_sequence(policy: str) -> None:
    """So that the ghosts of s3fifo and arc are full, and age."""
    draw = random.Random(7)
    cache, naive = TieredCache([CacheLevel(64)], policy), NAIVE[policy](64)
    keys = [min(int(draw.paretovariate(0.4)), 2000) + 7 * (i // 4000) for i in range(20_000)]
    assert [access(cache, key) for key in keys] == [naive.access(key) for key in keys]
    assert 0.1 < cache.counts[0].hits / len(keys) < 0.9


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), min_size=1, max_size=30))
def test_tail_first_one_by_one_is_tail_first_at_once(requests: list[list[int]]) -> None:
    """As long as no request pushes out its own blocks; here nothing leaves at all."""
    one, whole = (TieredCache([CacheLevel(31)], "lru_tail_first") for _ in range(2))
    for number, keys in enumerate(requests):
        whole.request(keys)
        for key in keys:
            if one.read(key, request=number) is None:
                one.write(key, request=number)
    # What is left of a smaller and smaller cache is the order of leaving.
    for cache in (one, whole):
        cache._policies[0].capacity = cache.occupancy(0)
    for new in range(100, 131):
        for cache in (one, whole):
            cache.write(new)
        assert set(one.keys(0)) == set(whole.keys(0))


def test_a_prefix_outlives_its_tail() -> None:
    cache = TieredCache([CacheLevel(6)], "lru_tail_first")
    cache.request([1, 2, 3, 4])
    cache.request([5, 6, 7, 8])
    assert set(cache.keys(0)) == {1, 2, 5, 6, 7, 8}
    cache = TieredCache([CacheLevel(6)], "lru")
    cache.request([1, 2, 3, 4])
    cache.request([5, 6, 7, 8])
    assert set(cache.keys(0)) == {3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("whole", [True, False])
def test_a_prefix_outlives_its_tail_below_too(whole: bool) -> None:
    cache = TieredCache([CacheLevel(4), CacheLevel(4)], "lru_tail_first")
    for number, keys in enumerate([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]):
        if whole:
            cache.request(keys)
        else:
            for key in keys:
                cache.write(key, request=number)
    assert [set(cache.keys(level)) for level in (0, 1)] == [{9, 10, 5, 6}, {7, 8, 1, 2}]


def test_a_request_that_is_larger_than_the_cache_keeps_its_prefix() -> None:
    cache = TieredCache([CacheLevel(3)], "lru_tail_first")
    cache.request([1, 2, 3, 4, 5])
    assert set(cache.keys(0)) == {1, 2, 3}


@pytest.mark.parametrize("policy", POLICIES)
def test_without_a_limit_nothing_leaves(policy: str) -> None:
    cache = TieredCache([CacheLevel(None)], policy)
    for key in range(1000):
        cache.write(key)
    assert cache.occupancy(0) == 1000 and cache.counts[0].dropped == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_level_without_room_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match="at least one block"):
        TieredCache([CacheLevel(0)], policy)
