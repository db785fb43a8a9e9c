"""Memory for values: slabs on huge pages, cut into slots of a few sizes, used again and again.

A new page costs the kernel more than the copy into it, so what is given back is kept for the next value of its size.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections import defaultdict

import attrs
import numpy as np

_PAGE, _HUGE = mmap.PAGESIZE, 2 << 20


class Region:
    """Memory in one piece that clients reach too. Slabs are cut from it, the first gap that is large enough. For one
    thread.

    `name`: it is a file of this name in memory, whose `descriptor` other processes of this machine can open, and pages
    of gaps go back to the kernel. Without one it is this process's own, for devices to reach.
    """

    def __init__(self, nbytes: int, name: str | None = None) -> None:
        """Raises OSError where the machine does not give it."""
        self.nbytes = -(-nbytes // _PAGE) * _PAGE
        self.descriptor: int | None = None
        if name is None:
            self.view = _memory(self.nbytes)
        else:
            self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
            os.ftruncate(self.descriptor, self.nbytes)
            mapping = mmap.mmap(self.descriptor, self.nbytes)
            with contextlib.suppress(OSError):
                mapping.madvise(mmap.MADV_HUGEPAGE)
            self.view = memoryview(mapping)
        self.address = int(np.frombuffer(self.view, np.uint8).ctypes.data)
        #: Whether a gap's pages may go: not where a device has been told where they are.
        self.pinned = name is None
        self._gaps = [(0, self.nbytes)]

    def take(self, nbytes: int) -> int:
        """The first byte of so many. Raises OSError (ENOMEM) where no gap is so large."""
        for number, (first, length) in enumerate(self._gaps):
            if length >= nbytes:
                self._gaps[number : number + 1] = [(first + nbytes, length - nbytes)] if length > nbytes else []
                return first
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def give_back(self, first: int, nbytes: int) -> None:
        if not self.pinned:
            mapping = self.view.obj
            assert isinstance(mapping, mmap.mmap)
            with contextlib.suppress(OSError):
                mapping.madvise(mmap.MADV_REMOVE, first, nbytes)
        gaps: list[tuple[int, int]] = []
        for start, length in sorted([*self._gaps, (first, nbytes)]):
            if gaps and gaps[-1][0] + gaps[-1][1] == start:
                gaps[-1] = (gaps[-1][0], gaps[-1][1] + length)
            else:
                gaps.append((start, length))
        self._gaps = gaps

    def close(self) -> None:
        """Nobody opens it any more. The memory goes with the last view of it."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


@attrs.define(eq=False)
class Slab:
    """Memory of slots of one size. `place`: where it begins in the pool's region, if there is one."""

    view: memoryview
    slot_bytes: int
    place: int = 0
    live: int = 0


class Slot:
    """A piece of a slab. It goes back to its pool by itself, with the last reference to it."""

    __slots__ = ("first", "pool", "slab", "view")

    def __init__(self, pool: Pool, slab: Slab, first: int, nbytes: int) -> None:
        self.pool, self.slab, self.first = pool, slab, first
        self.view = slab.view[first : first + nbytes]

    @property
    def place(self) -> int:
        """Where it begins in the pool's region."""
        return self.slab.place + self.first

    def __del__(self) -> None:
        self.pool.give_back(self.slab, self.first)


class Pool:
    """Slots of any size, of a region or of memory of their own. Beyond `keep_bytes` slabs of which nothing is used are
    given back. For one thread."""

    def __init__(self, keep_bytes: int, region: Region | None = None) -> None:
        self._region = region
        self._slabs: list[Slab] = []
        self._keep_bytes = keep_bytes
        self._reserved_bytes = 0
        self._free: defaultdict[int, list[tuple[Slab, int]]] = defaultdict(list)

    @property
    def whose(self) -> str:
        """Whose memory it is of, for messages."""
        return "the machine" if self._region is None else "the memory that the server shares"

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
        slab = self._slab(length, size)
        self._slabs.append(slab)
        self._reserved_bytes += length
        self._free[size] += [(slab, first) for first in reversed(range(0, length, size))]

    def _slab(self, length: int, size: int) -> Slab:
        region = self._region
        if region is None:
            return Slab(_memory(length), size)
        try:
            place = region.take(length)
        except OSError:
            self._let_go()
            place = region.take(length)
        return Slab(region.view[place : place + length], size, place)

    def _let_go(self) -> None:
        for size, free in list(self._free.items()):
            self._free[size] = [(slab, first) for slab, first in free if slab.live]
        if self._region is not None:
            for slab in self._slabs:
                if not slab.live:
                    self._region.give_back(slab.place, len(slab.view))
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
