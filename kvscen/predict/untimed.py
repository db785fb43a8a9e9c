"""A tier that decides and does nothing else: its operations end at once, and its clock means nothing.

It stands in for a real tier where a session is to say what requests find in it, without a byte being moved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs
import numpy as np

from kvscen.cache import TieredCache
from kvscen.plan.point import Tier, Work
from kvscen.plugin.contract import (
    OK,
    Arena,
    Decided,
    Driver,
    Layout,
    Limits,
    PathReport,
    Rows,
    Store,
)
from kvscen.plugin.virtual import VirtualLane, VirtualStore

#: Where a worker's session finds the driver.
TARGET = "kvscen.predict.untimed:UntimedDriver"


@attrs.frozen
class Bookkeeping:
    """In the place of settings: makes an empty cache, or nothing where the tier keeps every block. `levels` are the
    names of its levels."""

    make: Callable[[], TieredCache | None]
    levels: Sequence[str]


class _Addresses(Arena):
    """A byte of memory: nobody looks at the buffers of operations that move nothing."""

    pages = "untouched"

    def __init__(self, nbytes: int) -> None:
        self.view = np.zeros(1, np.uint8)
        self.address = int(self.view.ctypes.data)


class UntimedLane(VirtualLane):
    def __init__(self, store: UntimedStore) -> None:
        self._time = store.time
        self._flying: deque[tuple[int, int, int]] = deque()

    def submit(self, ops: Rows) -> int:
        now = self._time.now_ns
        self._flying.extend((ident, now, nbytes) for ident, nbytes in ops[["id", "bytes"]].tolist())
        return len(ops)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        """All at once, a nanosecond later."""
        flying = self._flying
        self._time.advance_to(self._time.now_ns + (1 if flying else timeout_ns))
        count, end = min(len(out), len(flying)), self._time.now_ns
        for row in range(count):
            ident, submit, nbytes = flying.popleft()
            out[row] = (ident, submit, end, nbytes, 0, 0, OK, 0, 0)
        return count

    def next_event_ns(self) -> int | None:
        return self._time.now_ns + 1 if self._flying else None


class UntimedStore(VirtualStore):
    """Keeps every block."""

    limits = Limits(1, 1 << 16)

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return _Addresses(nbytes)

    def prepare(self, layout: Layout) -> Sequence[int]:
        return range(0)

    def lane(self, index: int, arena: Arena) -> UntimedLane:
        return UntimedLane(self)

    def path(self) -> PathReport:
        return PathReport("unknown", "nothing was moved: decisions alone")


class UntimedCache(UntimedStore):
    """Keeps what a cache decides."""

    def __init__(self, make: Callable[[], TieredCache], levels: Sequence[str]) -> None:
        super().__init__()
        self._make, self._levels = make, levels
        self.cache = make()
        self._block_bytes = 0

    def prepare(self, layout: Layout) -> Sequence[int]:
        self._block_bytes = layout.stride_bytes
        return range(0)

    def decide(self, request: Sequence[int], look_up: bool = True) -> Decided:
        cache, size = self.cache, len(request)
        found = cache.look(request) if look_up else [-1] * size
        return Decided(found, [key for key in cache.order(request) if cache.keep(key, size).places])

    def reset(self) -> None:
        self.cache = self._make()

    def recount(self) -> None:
        self.cache.reset_counts()

    def occupancy(self) -> Sequence[int]:
        return [self.cache.occupancy(level) for level in range(len(self._levels))]

    def edges(self) -> Sequence[Mapping[str, Any]]:
        """A row for each level: what was looked up and found."""
        return [
            {
                "tier": name,
                "to_tier": None,
                "level": level,
                "occupancy_bytes": self.cache.occupancy(level) * self._block_bytes,
                "lookups": counts.lookups,
                "hits": counts.hits,
                "hit_rate": counts.hits / counts.lookups if counts.lookups else None,
                "admitted": counts.admitted,
                "evicted": counts.demoted + counts.clean + counts.dropped,
            }
            for level, (name, counts) in enumerate(zip(self._levels, self.cache.counts, strict=True))
        ]


class UntimedDriver(Driver):
    name = "untimed"
    virtual = True

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> UntimedStore:
        bookkeeping = tier.settings
        assert isinstance(bookkeeping, Bookkeeping)
        if bookkeeping.make() is None:
            return UntimedStore()
        return UntimedCache(cast("Callable[[], TieredCache]", bookkeeping.make), bookkeeping.levels)
