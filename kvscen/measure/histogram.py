"""A latency histogram with at most 1 % relative error, that merges and never averages.

Buckets are 128 to an octave: a value's bucket is the exponent and the first seven bits of the mantissa of its float64,
so finding it is two integer operations on a whole array. A bucket is at most 1/128 of its lower bound wide; the value
given for a bucket is its middle, which is at most 0.4 % off. Values are whole nanoseconds from 1 (0 counts as 1) to
2**42 (73 minutes).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MANTISSA_BITS = 7
_OCTAVES = 42
BUCKETS = _OCTAVES << _MANTISSA_BITS
_SHIFT = 52 - _MANTISSA_BITS
_BIAS = 1023 << _MANTISSA_BITS

#: A percentile is given only where at least this many operations lie above it.
MIN_ABOVE = 10

Int64s = npt.NDArray[np.int64]


def bucket_of(values_ns: Int64s) -> Int64s:
    """The bucket of each value, shape as given."""
    index: Int64s = (values_ns.astype(np.float64).view(np.int64) >> _SHIFT) - _BIAS
    return np.clip(index, 0, BUCKETS - 1, out=index)


def bounds() -> tuple[Int64s, Int64s]:
    """Lower (inclusive) and upper (exclusive) bound of every bucket in ns, shape (BUCKETS,) each.

    Below 128 ns a bucket is narrower than a nanosecond: those bounds are rounded up to the whole values that it can
    hold.
    """
    index = np.arange(BUCKETS + 1)
    exponent, mantissa = index >> _MANTISSA_BITS, index & ((1 << _MANTISSA_BITS) - 1)
    edges = np.ceil(np.ldexp(1 + mantissa / (1 << _MANTISSA_BITS), exponent)).astype(np.int64)
    return edges[:-1], edges[1:]


_LOWER, _UPPER = bounds()


class Histogram:
    """Counts per bucket beside the exact number, sum, smallest and largest value."""

    __slots__ = ("counts", "largest", "number", "smallest", "total")

    def __init__(self) -> None:
        self.counts: Int64s = np.zeros(BUCKETS, np.int64)
        self.number = 0
        self.total = 0
        self.smallest = 0
        self.largest = 0

    def add(self, values_ns: Int64s) -> Int64s:
        """Count an array of values, shape (n,); returns what was added to each bucket, shape (BUCKETS,)."""
        added = np.bincount(bucket_of(values_ns), minlength=BUCKETS)
        if not len(values_ns):
            return added
        self.counts += added
        smallest, largest = int(values_ns.min()), int(values_ns.max())
        self.smallest = min(self.smallest, smallest) if self.number else smallest
        self.largest = max(self.largest, largest)
        self.number += len(values_ns)
        self.total += int(values_ns.sum())
        return added

    def merge(self, other: Histogram) -> None:
        if not other.number:
            return
        self.smallest = min(self.smallest, other.smallest) if self.number else other.smallest
        self.counts += other.counts
        self.largest = max(self.largest, other.largest)
        self.number += other.number
        self.total += other.total

    def percentile(self, share: float) -> int | None:
        """What `share` of the operations do not exceed, in ns; None where fewer than MIN_ABOVE lie above it."""
        return percentile(self.counts, share, self.number, self.smallest, self.largest)

    @property
    def mean(self) -> float | None:
        return self.total / self.number if self.number else None

    def buckets(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """(lower, upper, count) of the buckets that hold something; bounds in ns."""
        used = np.flatnonzero(self.counts)
        return tuple(_LOWER[used].tolist()), tuple(_UPPER[used].tolist()), tuple(self.counts[used].tolist())


def percentile(counts: Int64s, share: float, number: int, smallest: int = 0, largest: int = 2**63 - 1) -> int | None:
    """A percentile from counts per bucket, shape (BUCKETS,). Nearest rank; the middle of the bucket, within what
    was seen.
    """
    # The small addition keeps 0.99 * 1000 from asking for the 991st of 1000 through rounding.
    rank = int(np.ceil(share * number - 1e-9))
    if number - rank < MIN_ABOVE:
        return None
    bucket = int(np.searchsorted(np.cumsum(counts), max(rank, 1)))
    middle = (int(_LOWER[bucket]) + max(int(_LOWER[bucket]), int(_UPPER[bucket]) - 1)) // 2
    return min(max(middle, smallest), largest)


def largest(counts: Int64s) -> int | None:
    """The middle of the highest bucket that holds something; None where none does."""
    used = np.flatnonzero(counts)
    if not len(used):
        return None
    bucket = int(used[-1])
    return (int(_LOWER[bucket]) + max(int(_LOWER[bucket]), int(_UPPER[bucket]) - 1)) // 2
