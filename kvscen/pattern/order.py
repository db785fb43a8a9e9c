"""The orders in which a lane touches its keys: endless sequences over range(count), in chunks.

None needs memory that grows with the keys; all are the same on every machine and with every version of numpy.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from kvscen.pattern.draw import UInt64s, mix
from kvscen.pattern.zipf import ZipfRanks
from kvscen.plan.point import Work

CHUNK = 4096


@attrs.frozen
class Keys:
    """A lane's share of the keys: first <= key < first + count."""

    first: int
    count: int


def share(keys: int, parts: int, index: int) -> Keys:
    """The index-th of `parts` nearly equal shares of `keys` keys; with fewer keys than parts, all share all."""
    if keys < parts:
        return Keys(0, keys)
    first = keys * index // parts
    return Keys(first, keys * (index + 1) // parts - first)


class Order(Protocol):
    def chunk(self) -> UInt64s:
        """The next keys of the sequence: at least one, at most CHUNK."""


def order_of(work: Work, count: int, seed: int) -> Order:
    """The order that `work` asks for, over `count` keys."""
    if work.order == "sequential":
        return Sequential(count)
    if work.order == "random":
        return Shuffled(count, seed)
    if work.order == "strided":
        assert work.stride is not None, "a checked pattern"
        return Strided(count, work.stride)
    assert work.skew is not None, "a checked and completed pattern"
    # Which blocks are popular depends on the scenario's seed alone: they are the same in every trial.
    return Zipf(count, float(work.skew), seed, work.seed)


class Permutation:
    """A pseudo-random permutation of range(domain), `domain` the next power of four from `count` on: a Feistel network
    of four rounds. `keys`: four random numbers.
    """

    def __init__(self, count: int, keys: UInt64s) -> None:
        self.count = count
        half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
        self.domain = 1 << (2 * half)
        self._half, self._mask = np.uint64(half), np.uint64((1 << half) - 1)
        self._keys = keys

    def of(self, index: UInt64s) -> UInt64s:
        """Where numbers below `domain` go, in range(domain)."""
        left, right = index >> self._half, index & self._mask
        for key in self._keys:
            left, right = right, left ^ (mix(right ^ key) & self._mask)
        return (left << self._half) | right

    def within(self, index: UInt64s) -> UInt64s:
        """Where numbers below `count` go, in range(count): what falls outside is sent on until it comes back (it is on
        a cycle that began inside). That is a permutation too.
        """
        drawn = self.of(index)
        while len(outside := np.flatnonzero(drawn >= self.count)):
            drawn[outside] = self.of(drawn[outside])
        return drawn


class Shuffled:
    """Passes over range(count), each in another pseudo-random order, without memory for it: a permutation of the next
    power of four; what falls outside the range is left out.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._generator = np.random.PCG64(seed)
        self._next_pass()

    def _next_pass(self) -> None:
        self._permutation = Permutation(self.count, self._generator.random_raw(4))
        self._position = 0

    def chunk(self) -> UInt64s:
        while True:
            if self._position >= self._permutation.domain:
                self._next_pass()
            stop = min(self._permutation.domain, self._position + CHUNK)
            drawn = self._permutation.of(np.arange(self._position, stop, dtype=np.uint64))
            self._position = stop
            drawn = drawn[drawn < self.count]
            if len(drawn):
                return drawn


class Sequential:
    """0, 1, ... count - 1, and again."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._next = 0

    def chunk(self) -> UInt64s:
        chunk = np.arange(self._next, self._next + CHUNK, dtype=np.uint64) % np.uint64(self.count)
        self._next = (self._next + CHUNK) % self.count
        return chunk


class Strided:
    """0, stride, 2 stride, ..., then 1, 1 + stride, ...: every key once in a pass, and again."""

    def __init__(self, count: int, stride: int) -> None:
        self._positions = Sequential(count)
        # Row r is r, r + stride, ...; the first `longer` rows have one key more than the others.
        self._stride = min(stride, count)
        self._least, self._longer = divmod(count, self._stride)

    def chunk(self) -> UInt64s:
        position = self._positions.chunk()
        least, longer = np.uint64(self._least), np.uint64(self._longer)
        in_longer = longer * (least + np.uint64(1))
        row, place = np.divmod(position, least + np.uint64(1))
        later = position >= in_longer
        row_later, place_later = np.divmod(position[later] - in_longer, least)
        row[later], place[later] = row_later + longer, place_later
        return row + place * np.uint64(self._stride)


class Zipf:
    """Independent draws, the k-th most popular key with a probability proportional to k^-skew. The ranks are scattered
    over the keys by a permutation, so that popular keys are no neighbours.
    """

    def __init__(self, count: int, skew: float, seed: int, popular_seed: int) -> None:
        """`seed` is of the draws, `popular_seed` of which keys are popular."""
        self._ranks = ZipfRanks(count, skew, seed)
        self._permutation = Permutation(count, np.random.PCG64(popular_seed).random_raw(4))

    def chunk(self) -> UInt64s:
        return self._permutation.within(self._ranks.draw(CHUNK) - np.uint64(1))
