"""How many look-ups hit at which capacity: the value that every way to predict ends in."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.predict.distances import COLD, distances

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@attrs.frozen
class Hits:
    """At one capacity. `prefix_hits` are those before which everything in their request hits, too."""

    capacity: int
    hits: float
    prefix_hits: float | None
    hit_rate: float
    prefix_hit_rate: float | None
    standard_error: float | None


@attrs.frozen(eq=False)
class HitCurve:
    """Hits of `lookups` look-ups in `requests` requests of `distinct` blocks, under a policy, by capacity.

    capacities, hits, prefix_hits: shape (n,), in blocks, ascending. `whole`: between two capacities and above the last
    one the hits are those of the lower one, so the curve says something of every capacity; else only of these. Of a
    curve made from a sample `rate` is the share of blocks in it (else 1), hits and distinct are estimates, and
    standard_error, shape (n,), is that of the hit rate. `prefix_hits` are None where a sample does not show them.
    """

    policy: str
    requests: int
    lookups: int
    distinct: int
    capacities: Int64s
    hits: Int64s | Float64s
    prefix_hits: Int64s | None
    whole: bool
    rate: float = 1.0
    standard_error: Float64s | None = None

    def at(self, capacity: int) -> Hits:
        """Raises ValueError where the curve says nothing of this capacity."""
        index = int(np.searchsorted(self.capacities, capacity, "right")) - 1
        if index < 0 or (not self.whole and self.capacities[index] != capacity):
            known = ", ".join(map(str, self.capacities[:8].tolist()))
            raise ValueError(f"nothing is known of {capacity} blocks under {self.policy}, only of {known}...")
        hits = self.hits[index].item()
        prefix = None if self.prefix_hits is None else self.prefix_hits[index].item()
        whole = self.lookups or 1
        return Hits(
            capacity=capacity,
            hits=hits,
            prefix_hits=prefix,
            hit_rate=hits / whole,
            prefix_hit_rate=None if prefix is None else prefix / whole,
            standard_error=None if self.standard_error is None else float(self.standard_error[index]),
        )


def check_workload(ids: Int64s, offsets: Int64s) -> None:
    """Raises ValueError where the two arrays are no workload."""
    if ids.ndim != 1 or offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(ids):
        raise ValueError("offsets begin with 0 and end with the number of ids, and both are one-dimensional")
    if (np.diff(offsets) < 0).any():
        raise ValueError("offsets must not descend")


def lru_curve(ids: Int64s, offsets: Int64s, policy: str = "lru") -> HitCurve:
    """The curve of `lru` or `lru_tail_first` at every capacity, exactly, in one pass.

    Request r looks up ids[offsets[r]:offsets[r + 1]] against the state before it, then touches them. Raises ValueError
    for another policy, or where the arrays are no workload.
    """
    if policy not in ("lru", "lru_tail_first"):
        raise ValueError(f"only LRU has a curve in one pass, not {policy}: choose capacities")
    check_workload(ids, offsets)
    least = distances(ids, offsets, tail_first=policy == "lru_tail_first")
    prefix = prefix_distances(least, offsets)
    hits, prefix_hits = (np.sort(each[each != COLD]) for each in (least, prefix))
    capacities = np.unique(np.concatenate([np.zeros(1, np.int64), hits, prefix_hits]))
    return HitCurve(
        policy=policy,
        requests=len(offsets) - 1,
        lookups=len(ids),
        # A block's first look-up hits nowhere, and so do others of the same request.
        distinct=len(np.unique(ids[least == COLD])),
        capacities=capacities,
        hits=np.searchsorted(hits, capacities, "right"),
        prefix_hits=np.searchsorted(prefix_hits, capacities, "right"),
        whole=True,
    )


def prefix_distances(least: Int64s, offsets: Int64s) -> Int64s:
    """The least capacity at which a look-up and all before it in its request hit; shape as `least`."""
    if not len(least):
        return least
    # Each request has a range of numbers above those of the one before it: then one running maximum does for all.
    cold = int(least.max(initial=0, where=least != COLD)) + 1
    base = np.repeat(np.arange(len(offsets) - 1) * (cold + 1), np.diff(offsets))
    running = np.maximum.accumulate(np.minimum(least, cold) + base) - base
    running[running == cold] = COLD
    return running
