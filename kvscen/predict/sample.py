"""The LRU curve of a workload of any length in bounded memory, from a sample of its blocks.

SHARDS (Waldspurger, Park, Garthwaite, Ahmad: "Efficient MRC construction with SHARDS", FAST 2015): keep the look-ups of
the blocks whose hash is below a threshold. Of every R-th block the stack distances are R times the true ones, on
average, so the curve of the sample, stretched, is an estimate of the whole one. As in their fixed-size variant the
threshold falls when there is too much to keep; here it is halved, and what no longer belongs to the sample is thrown
away before anything is computed from it. So all that is kept was sampled at one rate, 1 / 2^k, whatever the pieces in
which the workload came.

As in SHARDS-adj, look-ups that the sample has too few or too many of are taken to be hits at every capacity: they are
of the few blocks that everybody asks for. Misses are what is estimated.

The standard error comes from the sample itself, which is split by other bits of the hash into eight parts, each a
sample of its own: the spread of their curves divided by the root of their number, and, in quadrature, how far their
mean is from the curve of the whole sample, which shows where the curve is too steep for a sample so coarse. Over the
two traces of the tests the true error was 0.4 to 1.3 of it, root mean square, with a hundredth to a sixteenth of the
look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from kvscen.predict.curve import Float64s, HitCurve, Int64s, check_workload, lru_curve
from kvscen.predict.distances import COLD, distances

_PARTS = 8
# With fewer blocks the parts of the sample could agree by chance, and their error mean nothing.
_FEWEST_BLOCKS = 32 * _PARTS
#: Look-ups that are kept, if the caller does not say: 64 MiB of ids and requests.
MOST_LOOKUPS = 1 << 22


def hashed(ids: Int64s) -> npt.NDArray[np.uint64]:
    """64 well mixed bits of each id: the finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Sample:
    """Takes a workload piece by piece and keeps at most `most_lookups` of its look-ups, those of one of 2^halvings
    blocks to begin with."""

    def __init__(self, most_lookups: int = MOST_LOOKUPS, halvings: int = 0) -> None:
        if most_lookups < 1:
            raise ValueError("a sample needs at least one look-up")
        self.most_lookups = most_lookups
        self.lookups = 0
        self.requests = 0
        #: Blocks are sampled at a rate of 1 / 2^halvings.
        self.halvings = halvings
        # Columns of what is kept: ids, numbers of their requests and, where they are known, arrivals.
        self._parts: list[tuple[Int64s, ...]] = []
        self._kept = 0

    def add(self, ids: Int64s, offsets: Int64s, arrival_ns: Int64s | None = None) -> None:
        """More requests, as `lru_curve` takes them; `arrival_ns` of each, for all pieces or for none."""
        check_workload(ids, offsets)
        lengths = np.diff(offsets)
        numbers = np.arange(self.requests, self.requests + len(lengths))
        of_requests = (numbers,) if arrival_ns is None else (numbers, arrival_ns)
        self.lookups += len(ids)
        self.requests += len(lengths)
        self._keep((ids, *(np.repeat(column, lengths) for column in of_requests)))
        while self._kept > self.most_lookups:
            self.halvings += 1
            columns = self._columns()
            self._parts, self._kept = [], 0
            self._keep(columns)

    def _keep(self, columns: tuple[Int64s, ...]) -> None:
        if self.halvings:
            mine = hashed(columns[0]) >> np.uint64(64 - self.halvings) == 0
            columns = tuple(column[mine] for column in columns)
        self._parts.append(columns)
        self._kept += len(columns[0])

    def _columns(self) -> tuple[Int64s, ...]:
        return tuple(np.concatenate(column) for column in zip(*self._parts, strict=True))

    def kept(self) -> tuple[Int64s, Int64s]:
        """Ids, and the number of the request of each; shape (n,) both."""
        empty = np.zeros(0, np.int64)
        ids, requests, *_ = self._columns() or (empty, empty)
        return ids, requests

    def first_arrivals(self) -> Int64s | None:
        """When each of the sampled blocks was first asked for, ascending; None where the arrivals are not known."""
        ids, _, *arrivals = self._columns() or (np.zeros(0, np.int64),) * 2
        return first_arrivals(ids, arrivals[0]) if arrivals else None


def first_arrivals(ids: Int64s, arrival_ns: Int64s) -> Int64s:
    """When each block was first asked for, ascending; of look-ups in the order of their arrivals."""
    _, first = np.unique(ids, return_index=True)
    return np.sort(arrival_ns[first])


def sampled_curve(
    pieces: Iterable[tuple[Int64s, Int64s]], policy: str = "lru", most_lookups: int = MOST_LOOKUPS
) -> HitCurve:
    """The curve of `lru` or `lru_tail_first`. `pieces` are (ids, offsets) of the requests one after the other.

    Exact, and as `lru_curve` gives it, where nothing had to be left out. Raises ValueError as it does, and where the
    sample has too few blocks to tell anything.
    """
    sample = Sample(most_lookups)
    for ids, offsets in pieces:
        sample.add(ids, offsets)
    return curve_of(sample, policy)


def curve_of(sample: Sample, policy: str = "lru") -> HitCurve:
    """As `sampled_curve`, of a workload that a sample has taken."""
    ids, request = sample.kept()
    if not sample.halvings:
        return lru_curve(ids, np.searchsorted(request, np.arange(sample.requests + 1)), policy)
    if policy not in ("lru", "lru_tail_first"):
        raise ValueError(f"only LRU has a curve in one pass, not {policy}: choose capacities")
    tail_first = policy == "lru_tail_first"
    blocks = len(np.unique(ids))
    if blocks < _FEWEST_BLOCKS:
        raise ValueError(f"a sample of {len(ids):,} look-ups has {blocks:,} blocks, too few to tell anything")
    scale = 1 << sample.halvings
    expected = sample.lookups / scale
    least = _distances(ids, request, tail_first)
    capacities = np.concatenate([np.zeros(1, np.int64), np.unique(least[least != COLD]) * scale])
    rates = _hit_rates(least, scale, expected, capacities)
    rates[0] = 0.0  # whatever the sample has too few of, without room nothing hits
    part = (hashed(ids) & np.uint64(_PARTS - 1)).astype(np.int64)
    parts = []
    for number in range(_PARTS):
        mine = part == number
        far = _distances(ids[mine], request[mine], tail_first)
        parts.append(_hit_rates(far, scale * _PARTS, expected / _PARTS, capacities))
    return HitCurve(
        policy=policy,
        requests=sample.requests,
        lookups=sample.lookups,
        distinct=blocks * scale,
        capacities=capacities,
        hits=rates * sample.lookups,
        prefix_hits=None,
        whole=True,
        rate=1 / scale,
        standard_error=np.hypot(np.std(parts, axis=0, ddof=1) / np.sqrt(_PARTS), np.mean(parts, axis=0) - rates),
    )


def _distances(ids: Int64s, request: Int64s, tail_first: bool) -> Int64s:
    """Of look-ups whose requests are told by their numbers, ascending."""
    begins = np.flatnonzero(np.diff(request, prepend=-1))
    return distances(ids, np.append(begins, len(ids)), tail_first)


def _hit_rates(least: Int64s, scale: int, expected: float, capacities: Int64s) -> Float64s:
    """At each capacity, of a sample at 1 / scale that should have had `expected` look-ups."""
    hits = np.searchsorted(np.sort(least), capacities // scale, "right")
    return np.clip(1 - (len(least) - hits) / expected, 0.0, 1.0)
