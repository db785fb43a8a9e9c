"""Memory for values: slabs on huge pages, cut into slots of a few sizes, used again and again.

A new page costs the kernel more than the copy into it, so what is given back is kept for the next value of its size.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import defaultdict

import attrs
import numpy as np

_PAGE, _HUGE = mmap.PAGESIZE, 2 << 20


@attrs.define(eq=False)
class Slab:
    """Memory of slots of one size."""

    view: memoryview
    slot_bytes: int
    live: int = 0


class Slot:
    """A piece of a slab. It goes back to its pool by itself, with the last reference to it."""

    __slots__ = ("first", "pool", "slab", "view")

    def __init__(self, pool: Pool, slab: Slab, first: int, nbytes: int) -> None:
        self.pool, self.slab, self.first = pool, slab, first
        self.view = slab.view[first : first + nbytes]

    def __del__(self) -> None:
        self.pool.give_back(self.slab, self.first)


class Pool:
    """Slots of any size. Beyond `keep_bytes` slabs of which nothing is used are given back. For one thread."""

    def __init__(self, keep_bytes: int) -> None:
        self._slabs: list[Slab] = []
        self._keep_bytes = keep_bytes
        self._reserved_bytes = 0
        self._free: defaultdict[int, list[tuple[Slab, int]]] = defaultdict(list)

    @staticmethod
    def rounded(nbytes: int) -> int:
        """What so many bytes take."""
        return max(-(-nbytes // _PAGE), 1) * _PAGE

    def take(self, nbytes: int) -> Slot | None:
        """A slot for so many bytes; None where the machine has no room. What is in it is whatever was."""
        size = self.rounded(nbytes)
        free = self._free[size]
        if not free:
            try:
                self._cut(size)
            except (OSError, ValueError, OverflowError):
                return None
            free = self._free[size]
        slab, first = free.pop()
        slab.live += 1
        return Slot(self, slab, first, nbytes)

    def give_back(self, slab: Slab, first: int) -> None:
        slab.live -= 1
        self._free[slab.slot_bytes].append((slab, first))

    def _cut(self, size: int) -> None:
        length = size if size >= _HUGE else _HUGE // size * size
        if self._reserved_bytes + length > self._keep_bytes:
            self._let_go()
        slab = Slab(_memory(length), size)
        self._slabs.append(slab)
        self._reserved_bytes += length
        self._free[size] += [(slab, first) for first in reversed(range(0, length, size))]

    def _let_go(self) -> None:
        for size, free in list(self._free.items()):
            self._free[size] = [(slab, first) for slab, first in free if slab.live]
        self._slabs = [slab for slab in self._slabs if slab.live]
        self._reserved_bytes = sum(len(slab.view) for slab in self._slabs)


def _memory(length: int) -> memoryview:
    """Touched on its first use, on huge pages where the kernel gives them."""
    mapping = mmap.mmap(-1, length + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    base = np.frombuffer(mapping, np.uint8, 1).ctypes.data
    start = _HUGE - base % _HUGE
    return memoryview(mapping)[start : start + length]
