"""Levels for tests of tiered: a store whose operations end in any order, and runs checked byte for byte."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from kvscen.plugin import (
    COMPLETION,
    DISCARD,
    ERROR,
    LOOKUP,
    OK,
    OPERATION,
    READ,
    WRITE,
    Arena,
    Driver,
    Lane,
    Layout,
    Limits,
    Size,
    Store,
    Tier,
    Work,
    host_arena,
    setting,
)
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.tiered import TieredDriver, TieredSettings
from kvscen_drivers.tiered.store import TieredStore


@attrs.frozen
class ShuffledSettings:
    capacity_bytes: int | None = setting(Size(), default=None, help="most bytes to keep")


class ShuffledStore(Store):
    """Keeps slots in memory. What is in flight ends in an order drawn from `seed`; bytes move only then, so that a
    transfer that starts too early is caught. `fails(kind, slot)` says which operations fail.
    """

    def __init__(self, seed: int, in_flight: int = 8, alignment: int = 1) -> None:
        self.limits = Limits(alignment, in_flight)
        self.random = random.Random(seed)
        self.slots: list[np.ndarray] = []
        self.fails: Callable[[int, int], bool] = lambda kind, slot: False
        self.most_in_flight = 0

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes, huge=False)

    def prepare(self, layout: Layout) -> Sequence[int]:
        self.slots = [np.full(layout.stride_bytes, 0xEE, np.uint8) for _ in range(layout.keys)]
        return range(layout.keys)

    def lane(self, index: int, arena: Arena) -> Lane:
        return ShuffledLane(self, arena)


class ShuffledLane(Lane):
    def __init__(self, store: ShuffledStore, arena: Arena) -> None:
        self.store, self.arena = store, arena
        self.flying: list[tuple[np.void, int]] = []

    def submit(self, ops: np.ndarray) -> int:
        room = self.store.limits.max_in_flight - len(self.flying)
        accepted = ops[: max(0, min(room, self.store.random.randint(1, len(ops))))]
        self.flying += [(op, self.store.clock()) for op in accepted.copy()]
        self.store.most_in_flight = max(self.store.most_in_flight, len(self.flying))
        return len(accepted)

    def reap(self, out: np.ndarray, at_least: int, timeout_ns: int) -> int:
        draw = self.store.random
        count = min(max(at_least, draw.randint(0, 2)), len(self.flying), len(out))
        for row in range(count):
            op, submitted = self.flying.pop(draw.randrange(len(self.flying)))
            out[row] = (op["id"], submitted, self.store.clock(), *self._do(op), 0)
        return count

    def _do(self, op: np.void) -> tuple[int, int, int, int, int]:
        slot, offset, nbytes, buffer = (int(op[name]) for name in ("key", "offset", "bytes", "buffer"))
        if self.store.fails(int(op["kind"]), slot):
            return 0, 0, errno.EIO, ERROR, 0
        stored = self.store.slots[slot][offset : offset + nbytes]
        lent = self.arena.view[buffer : buffer + nbytes]
        if op["kind"] == READ:
            lent[:] = stored
        else:
            stored[:] = lent
        return nbytes, 0, 0, OK, 0


class ShuffledDriver(Driver):
    name = "shuffled"
    summary = "for tests"
    settings = ShuffledSettings


def shuffled_tier(name: str, capacity: int | None = None) -> Tier:
    return Tier(name, "shuffled", ShuffledSettings(capacity_bytes=capacity))


def tiered(levels: list[Tier], capacities: list[int] | None, **more: Any) -> Tier:
    names = tuple(level.name for level in levels)
    settings = TieredSettings(levels=names, capacities=None if capacities is None else tuple(capacities), **more)
    return Tier("cache", "tiered", settings, tuple(levels))


def open_tiered(tier: Tier, stores: Sequence[Store], block: int, keys: int) -> TieredStore:
    store = TieredDriver().open(tier, Work("mixed", block, 1, keys), stores)
    assert isinstance(store, TieredStore)
    return store


def open_memory(name: str, work: Work) -> tuple[Tier, Store]:
    tier = Tier(name, "memory", MemorySettings())
    return tier, MemoryDriver().open(tier, work, [])


@attrs.frozen
class Done:
    """What became of one operation."""

    kind: int
    key: int
    outcome: int
    level: int
    nbytes: int
    errno: int


class Session:
    """Submits (kind, key) pairs to a prepared tiered store, `depth` at a time, and checks the content of every read
    that hits: it must be the last version written before it in the order of submission.
    """

    def __init__(self, store: TieredStore, block: int, keys: int, depth: int, request: int = 1) -> None:
        """So many operations in a row are of one `request`."""
        self.request = request
        self.store, self.block, self.depth = store, block, depth
        self.stride = -(-block // store.limits.alignment_bytes) * store.limits.alignment_bytes
        self.arena = store.allocate(depth * self.stride, "dram")
        self.lane = store.lane(0, self.arena)
        self.layout = Layout(keys, block, self.stride, 0, keys)
        store.prepare(self.layout)
        self.version: dict[int, int] = {}
        self.next_id = 0

    def stamp(self, key: int, version: int) -> np.ndarray:
        return np.random.default_rng([key, version]).integers(0, 256, self.stride, np.uint8)

    def run(self, sequence: Sequence[tuple[int, int]]) -> list[Done]:
        results: dict[int, Done] = {}
        free = list(range(self.depth))
        expected: dict[int, tuple[int, int, int, int]] = {}  # id -> kind, key, version, buffer slot
        out = np.zeros(self.depth, COMPLETION)
        first, position, queued = self.next_id, 0, np.zeros(0, OPERATION)
        while position < len(sequence) or len(queued) or expected:
            rows = []
            while free and position < len(sequence):
                kind, key = sequence[position]
                slot = free.pop()
                buffer = self.arena.view[slot * self.stride : (slot + 1) * self.stride]
                if kind == WRITE:
                    self.version[key] = self.version.get(key, 0) + 1
                    buffer[:] = self.stamp(key, self.version[key])
                else:
                    buffer[:] = 0xAA
                expected[self.next_id] = (kind, key, self.version.get(key, 0), slot)
                nbytes = 0 if kind in (LOOKUP, DISCARD) else self.stride
                rows.append(
                    (self.next_id, key, 0, nbytes, slot * self.stride, 0, position // self.request, 0, kind, [0] * 7)
                )
                self.next_id += 1
                position += 1
            queued = np.concatenate([queued, np.array(rows, OPERATION)])
            queued = queued[self.lane.submit(queued) :]
            count = self.lane.reap(out, 1, 5 * 10**9)
            assert count, "nothing ended in five seconds"
            for row in out[:count]:
                kind, key, version, slot = expected.pop(int(row["id"]))
                if kind == READ and row["outcome"] == OK:
                    buffer = self.arena.view[slot * self.stride : (slot + 1) * self.stride]
                    assert (buffer == self.stamp(key, version)).all(), f"block {key} has the wrong content"
                fields = (int(row[name]) for name in ("outcome", "level", "bytes", "errno"))
                results[int(row["id"])] = Done(kind, key, *fields)
                free.append(slot)
        return [results[ident] for ident in range(first, self.next_id)]

    def close(self) -> None:
        self.lane.close()
        self.arena.close()
