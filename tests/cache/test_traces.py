"""Two real traces, against the counts of an independent simulator."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kvscen.cache import CacheLevel, TieredCache
from tests.traces import TRACES, counted, workload

SHARES = ("1%", "10%", "50%")


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("policy", "direction"), [("lru", "forward"), ("lru_tail_first", "reverse")])
@pytest.mark.parametrize("trace", TRACES)
def test_requests_at_once(trace: str, policy: str, direction: str, share: str) -> None:
    expected = counted(trace)["lru"][share][direction]
    hits, prefix_hits, cache = replay(trace, policy, expected["capacity_blocks"])
    assert (hits, prefix_hits) == (expected["hit_any"], expected["hit_prefix"])
    assert cache.counts[0].dropped == expected["evictions"]


@pytest.mark.parametrize("policy", ["lru", "lru_tail_first", "fifo", "lfu", "s3fifo", "arc"])
@pytest.mark.parametrize("trace", TRACES)
def test_without_limit(trace: str, policy: str) -> None:
    expected = counted(trace)
    hits, prefix_hits, cache = replay(trace, policy, None)
    assert (hits, prefix_hits) == (expected["infinite_hit_any"], expected["infinite_hit_prefix"])
    assert cache.occupancy(0) == expected["unique_blocks"] and cache.counts[0].lookups == expected["block_lookups"]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("trace", TRACES)
def test_one_block_after_the_other(trace: str, share: str) -> None:
    expected = counted(trace)["lru"][share]["sequential_per_block"]
    cache = TieredCache([CacheLevel(expected["capacity_blocks"])])
    for key in workload(trace)[0].tolist():
        if cache.read(key) is None:
            cache.write(key)
    assert cache.counts[0].hits == expected["hits"]


def replay(trace: str, policy: str, capacity: int | None) -> tuple[int, int, TieredCache]:
    ids, offsets = workload(trace)
    cache = TieredCache([CacheLevel(capacity)], policy)
    prefix_hits = 0
    for start, end in pairwise(offsets.tolist()):
        found = cache.request(ids[start:end].tolist())
        prefix_hits += next((i for i, level in enumerate(found) if level < 0), len(found))
    return cache.counts[0].hits, prefix_hits, cache
