"""What the bookkeeping decides over a workload: any policy, any levels, at the capacities that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np

from kvscen.cache import CacheLevel, LevelCounts, TieredCache
from kvscen.predict.curve import HitCurve, Int64s, check_workload

# Requests are turned into Python's integers so many look-ups at a time.
_CHUNK = 1 << 20


@attrs.frozen
class Replayed:
    """`prefix_hits` counts those found in any level; `counts` is of each level."""

    lookups: int
    hits: int
    prefix_hits: int
    counts: tuple[LevelCounts, ...]


def replay(cache: TieredCache, ids: Int64s, offsets: Int64s) -> Replayed:
    """Run the requests through a cache, which keeps what it holds afterwards. Its counts begin at zero."""
    check_workload(ids, offsets)
    cache.reset_counts()
    prefix_hits = 0
    first = 0
    bounds = offsets.tolist()
    while first < len(bounds) - 1:
        end = max(first + 1, int(np.searchsorted(offsets, bounds[first] + _CHUNK, "right")) - 1)
        base = bounds[first]
        keys = ids[base : bounds[end]].tolist()
        for start, stop in pairwise(bounds[first : end + 1]):
            found = cache.request(keys[start - base : stop - base])
            prefix_hits += found.index(-1) if -1 in found else len(found)
        first = end
    counts = tuple(attrs.evolve(level) for level in cache.counts)
    return Replayed(len(ids), sum(level.hits for level in counts), prefix_hits, counts)


def curve_at(ids: Int64s, offsets: Int64s, policy: str, capacities: Sequence[int]) -> HitCurve:
    """One level of each of these capacities (in blocks, each at least 1) under any policy."""
    sizes = sorted(set(capacities))
    found = [replay(TieredCache([CacheLevel(size)], policy), ids, offsets) for size in sizes]
    return HitCurve(
        policy=policy,
        requests=len(offsets) - 1,
        lookups=len(ids),
        distinct=len(np.unique(ids)),
        capacities=np.array(sizes, np.int64),
        hits=np.array([each.hits for each in found], np.int64),
        prefix_hits=np.array([each.prefix_hits for each in found], np.int64),
        whole=False,
    )
