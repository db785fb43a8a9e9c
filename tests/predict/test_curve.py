"""The curve in one pass against the bookkeeping, and against an independent simulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import CacheLevel, TieredCache
from kvscen.predict import HitCurve, curve_at, lru_curve, replay
from kvscen.predict.distances import COLD, distances
from tests.traces import AGENTIC, MOONCAKE, Workload, counted, workload

ids_of_requests = st.lists(st.lists(st.integers(0, 25), max_size=9), max_size=25)
#: As a cache for prefixes sees them: a request goes on from a beginning that it shares with others.
prefixes = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 30)).map(lambda pair: [100 * pair[0] + i for i in range(pair[1])]),
    max_size=15,
)
policies = st.sampled_from(["lru", "lru_tail_first"])


def as_workload(requests: list[list[int]]) -> Workload:
    ids = np.array([key for keys in requests for key in keys], np.int64)
    return ids, np.cumsum([0, *map(len, requests)])


@settings(deadline=None, max_examples=300)
@given(ids_of_requests | prefixes, policies)
def test_every_capacity_against_the_bookkeeping(requests: list[list[int]], policy: str) -> None:
    ids, offsets = as_workload(requests)
    curve = lru_curve(ids, offsets, policy)
    assert (curve.lookups, curve.requests, curve.distinct) == (len(ids), len(requests), len(set(ids.tolist())))
    assert curve.at(0).hits == 0
    for capacity in range(1, curve.distinct + 2):
        replayed = replay(TieredCache([CacheLevel(capacity)], policy), ids, offsets)
        at = curve.at(capacity)
        assert (at.hits, at.prefix_hits) == (replayed.hits, replayed.prefix_hits)


@given(st.lists(st.integers(0, 12), max_size=80))
def test_one_block_after_the_other(keys: list[int]) -> None:
    """A request for each: plain LRU, whose stack can be kept as a list."""
    stack: list[int] = []
    expected = []
    for key in keys:
        expected.append(stack.index(key) + 1 if key in stack else COLD)
        stack = [key, *(other for other in stack if other != key)]
    ids = np.array(keys, np.int64)
    assert distances(ids, np.arange(len(ids) + 1)).tolist() == expected


def test_round_and_round_hits_only_where_all_fit() -> None:
    ids = np.tile(np.arange(1000), 5)
    curve = lru_curve(ids, np.arange(len(ids) + 1))
    assert curve.capacities.tolist() == [0, 1000] and curve.hits.tolist() == [0, 4000]


def test_large_workloads_of_every_kind() -> None:
    """So that runs, requests and times need many bits: drawn keys, against the bookkeeping at some capacities."""
    draw = np.random.default_rng(3)
    for ids, step in ((draw.zipf(1.2, 30_000) % 9000, 7), (draw.permutation(np.repeat(np.arange(5000), 6)), 1)):
        offsets = np.append(np.arange(0, len(ids), step), len(ids))
        for policy in ("lru", "lru_tail_first"):
            curve = lru_curve(ids, offsets, policy)
            some = curve_at(ids, offsets, policy, [10, 300, 4000])
            assert [curve.at(capacity).hits for capacity in (10, 300, 4000)] == some.hits.tolist()


@pytest.mark.parametrize(("policy", "direction"), [("lru", "forward"), ("lru_tail_first", "reverse")])
@pytest.mark.parametrize("trace", [MOONCAKE, AGENTIC])
def test_real_traces(trace: str, policy: str, direction: str) -> None:
    expected = counted(trace)
    curve = lru_curve(*workload(trace), policy)
    for count in expected["lru"].values():
        at = curve.at(count[direction]["capacity_blocks"])
        assert (at.hits, at.prefix_hits) == (count[direction]["hit_any"], count[direction]["hit_prefix"])
        assert round(at.hit_rate, 6) == count[direction]["hit_any_rate"]
    without_limit = curve.at(10**12)
    assert without_limit.hits == expected["infinite_hit_any"]
    assert without_limit.prefix_hits == expected["infinite_hit_prefix"]
    assert (curve.lookups, curve.distinct) == (expected["block_lookups"], expected["unique_blocks"])


@pytest.mark.parametrize("trace", [MOONCAKE, pytest.param(AGENTIC, marks=pytest.mark.long)])
def test_real_traces_block_by_block(trace: str) -> None:
    ids, _ = workload(trace)
    curve = lru_curve(ids, np.arange(len(ids) + 1))
    for count in counted(trace)["lru"].values():
        count = count["sequential_per_block"]
        assert curve.at(count["capacity_blocks"]).hits == count["hits"]


def test_other_policies_at_chosen_capacities() -> None:
    ids, offsets = as_workload([[1, 2, 3], [1, 2, 4], [1, 2, 3]])
    curve = curve_at(ids, offsets, "fifo", [4, 2, 4])
    assert isinstance(curve, HitCurve) and curve.capacities.tolist() == [2, 4]
    assert curve.at(4).hits == 5 and curve.at(4).hit_rate == 5 / 9
    with pytest.raises(ValueError, match="nothing is known of 3 blocks under fifo"):
        curve.at(3)


def test_levels_share_what_one_would_hit() -> None:
    ids, offsets = as_workload([[i, i + 1, i + 2] for i in range(40)] * 2)
    levels = [CacheLevel(10), CacheLevel(20)]
    replayed = replay(TieredCache(levels, "lru", "hit"), ids, offsets)
    assert sum(counts.hits for counts in replayed.counts) == replayed.hits > 0
    assert replayed.lookups == len(ids) == replayed.counts[0].lookups


def test_what_is_no_workload_is_refused() -> None:
    ids = np.arange(4)
    for offsets in ([0, 3], [1, 4], [0, 3, 2, 4], []):
        with pytest.raises(ValueError, match="offsets"):
            lru_curve(ids, np.array(offsets, np.int64))
    with pytest.raises(ValueError, match="only LRU has a curve in one pass, not arc"):
        lru_curve(ids, np.array([0, 4]), "arc")


def test_nothing_at_all() -> None:
    curve = lru_curve(np.zeros(0, np.int64), np.zeros(1, np.int64))
    assert (curve.lookups, curve.distinct, curve.at(5).hits, curve.at(5).hit_rate) == (0, 0, 0, 0.0)
