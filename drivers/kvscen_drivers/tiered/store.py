"""The store of a tiered tier: the contract's side of the bookkeeping."""

from __future__ import annotations

import errno
import math
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvscen.plugin import (
    KINDS,
    READ,
    WRITE,
    Arena,
    Decided,
    DriverError,
    Histogram,
    Lane,
    Layout,
    Limits,
    PathReport,
    Store,
    Tier,
    TieredCache,
    Work,
    show_bytes,
)
from kvscen_drivers.tiered.bookkeeping import cache_of, slots_of
from kvscen_drivers.tiered.lane import Step, TieredArena, TieredLane
from kvscen_drivers.tiered.mover import Edge, Failure, Mover, Tally, in_level
from kvscen_drivers.tiered.settings import capacity_of, request_blocks

# Moves that can be under way at once. Each holds one block: 16 keep a disk busy and cost 40 MiB with blocks of 2.5 MiB.
BOUNCE_BUFFERS = 16
# Bounce buffers start at a page, whatever the levels ask for.
_PAGE_BYTES = 4096
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _merged(tallies: Sequence[Tally], *kinds: int) -> Histogram:
    latency = Histogram()
    for tally in tallies:
        for kind in kinds:
            latency.merge(tally.latency(kind))
    return latency


def _percentiles(name: str, latency: Histogram) -> dict[str, int | None]:
    return {f"{name}_{each}_ns": latency.percentile(share) for each, share in _SHARES.items()}


def _tallied(*tallies: Tally) -> dict[str, Any]:
    """The columns of what was really done: transfers of a level, or moves (their latency runs from decision to end)."""
    latency = _merged(tallies, READ, WRITE)
    return {
        "operations": sum(tally.operations for tally in tallies),
        "errors": sum(tally.errors for tally in tallies),
        **_percentiles("latency", latency),
        "latency_max_ns": latency.largest if latency.number else None,
    }


def _lost(cache: TieredCache, mover: Mover, level: int) -> int:
    """Blocks that a level should hold and does not."""
    if not any(place.level == level for place in mover.spoiled):
        return 0
    held = (place for key in cache.keys(level) for place in cache.places(key) if place.level == level)
    return sum(place in mover.spoiled for place in held)


class TieredStore(Store):
    def __init__(self, tier: Tier, work: Work, levels: Sequence[Store]) -> None:
        self.tier = tier
        self._levels = list(levels)
        self.names = [level.name for level in tier.levels]
        alignment = math.lcm(*(store.limits.alignment_bytes for store in levels))
        self.limits = Limits(alignment, min(store.limits.max_in_flight for store in levels))
        self._bounce_bytes = _round_up(_round_up(work.block_bytes, alignment), _PAGE_BYTES)
        self._replays = work.replay is not None
        self._lane: TieredLane | None = None
        self._laid_out: Layout | None = None
        self._slots_of: list[int] = []
        self.cache: TieredCache | None = None
        self.request_blocks = request_blocks(work)
        self.block_bytes = 0
        self.keys = range(0)
        #: What was decided about requests and not carried out yet (`decide`).
        self.decided: deque[Step] = deque()

    def allocate(self, nbytes: int, memory: str) -> Arena:
        """Buffers of the level that asks for the coarsest alignment; the others take them too."""
        if memory != "dram" and not self.virtual:
            raise DriverError(f"tier `{self.tier.name}`: tiered has buffers in host memory only", "set `memory = dram`")
        start = _round_up(nbytes, max(_PAGE_BYTES, self.limits.alignment_bytes))
        level = max(self._levels, key=lambda store: store.limits.alignment_bytes)
        whole = level.allocate(start + BOUNCE_BUFFERS * self._bounce_bytes, "dram")
        return TieredArena(whole, nbytes, [start + i * self._bounce_bytes for i in range(BOUNCE_BUFFERS)])

    def lane(self, index: int, arena: Arena) -> Lane:
        if index > 0:
            raise DriverError(f"tier `{self.tier.name}` is driven by one thread", "set the pattern's `threads = 1`")
        if not isinstance(arena, TieredArena):
            raise TypeError("a lane of a tiered tier needs an arena of its own store")
        self._lane = self._lane_over([store.lane(0, arena.whole) for store in self._levels], arena)
        return self._lane

    def _lane_over(self, lanes: Sequence[Lane], arena: TieredArena) -> TieredLane:
        return TieredLane(self, lanes, Mover(lanes, self.names, arena.bounce, self.clock), arena)

    def prepare(self, layout: Layout) -> Sequence[int]:
        """Empty levels with room for what each may hold; every key is missing. The same layout again: nothing is
        missing, for what the cache dropped is gone.
        """
        if layout == self._laid_out:
            return range(0)
        if layout.stride_bytes > self._bounce_bytes:
            raise DriverError(
                f"tier `{self.tier.name}`: blocks of {show_bytes(layout.stride_bytes)} are larger than announced"
            )
        self._drain()
        self.cache = self._laid_out = None
        slots = slots_of(self.tier, layout.keys, layout.stride_bytes)
        for name, store, count in zip(self.names, self._levels, slots, strict=True):
            with in_level(name):
                store.prepare(Layout(count, layout.block_bytes, layout.stride_bytes, 0, count))
        self.cache, self._slots_of = self._cache(slots, layout), slots
        self.block_bytes = layout.stride_bytes
        self.keys = range(layout.first_key, layout.first_key + layout.keys)
        self._laid_out = layout
        return self.keys

    def _cache(self, slots: Sequence[int], layout: Layout) -> TieredCache:
        return cache_of(self.tier, slots, layout.block_bytes, self.request_blocks)

    def _drain(self) -> None:
        if self._lane is not None:
            self._lane.drain()

    def _in_each(self, act: Callable[[Store], None]) -> None:
        for name, store in zip(self.names, self._levels, strict=True):
            with in_level(name):
                act(store)

    def settle(self) -> None:
        self._drain()
        self._in_each(lambda level: level.settle())

    def reset(self) -> None:
        """Ends what is still moving and sets the counts to zero. What is cached stays, and the next trial finds a warm
        cache; but a replay begins with an empty one.
        """
        self._drain()
        self._in_each(lambda level: level.reset())
        self.decided.clear()
        if self.cache is not None:
            if self._replays:
                assert self._laid_out is not None
                self.cache = self._cache(self._slots_of, self._laid_out)
            self.recount()

    def recount(self) -> None:
        self._drain()
        if self.cache is not None:
            self.cache.reset_counts()
        if self._lane is not None:
            self._lane.mover.reset_tallies()

    def decide(self, request: Sequence[int], look_up: bool = True) -> Decided:
        """All look-ups of the request against the state before it, then the touches in the order of the policy. What
        was found is read where it was, before anything moves."""
        cache = self.cache
        if cache is None:
            raise RuntimeError("decide before prepare")
        steps = self.decided
        found = cache.look(request) if look_up else [-1] * len(request)
        for key, level in zip(request, found, strict=True):
            if level >= 0:
                place = cache.find(key)
                assert place is not None, "it was just found"
                steps.append(Step((), READ, key, (place,), level))
        writes: list[int] = []
        size = len(request)
        for key in cache.order(request):
            places, moves = cache.keep(key, size)
            if places:
                writes.append(key)
                steps.append(Step(moves, WRITE, key, places))
            elif moves:
                steps.append(Step(moves))
        return Decided(found, writes)

    def occupancy(self) -> Sequence[int]:
        cache = self.cache
        return () if cache is None else [cache.occupancy(level) for level in range(len(self._levels))]

    def counters(self) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for store in self._levels:
            total.update(store.counters())
        return dict(total)

    def edges(self) -> Sequence[Mapping[str, Any]]:
        """A row for each level and one for each edge between two, since `reset`. Waits for the moves that are under
        way.
        """
        cache, lane = self.cache, self._lane
        if cache is None or lane is None:
            return ()
        lane.drain()
        mover = lane.mover
        levels = range(len(mover.levels))
        rows = [self._level_row(cache, mover, level) for level in levels]
        beside = {(level, level + 1) for level in levels[:-1]}
        for edge in sorted(beside | set(mover.edges) | set(mover.through)):
            rows.append(self._edge_row(edge, mover.edges[edge], mover.through[edge]))
        return rows

    def _level_row(self, cache: TieredCache, mover: Mover, level: int) -> dict[str, Any]:
        counts, tally = cache.counts[level], mover.levels[level]
        return {
            "tier": self.names[level],
            "to_tier": None,
            "level": level,
            "capacity_bytes": capacity_of(self.tier, level),
            "occupancy_bytes": cache.occupancy(level) * self.block_bytes,
            "lookups": counts.lookups,
            "hits": counts.hits,
            "hit_rate": counts.hits / counts.lookups if counts.lookups else None,
            "admitted": counts.admitted,
            "evicted": counts.demoted + counts.clean + counts.dropped,
            "demoted_bytes": counts.demoted * self.block_bytes,
            "promoted_bytes": counts.promoted * self.block_bytes,
            "through_bytes": None,
            "read_bytes": tally.read_bytes,
            "write_bytes": tally.write_bytes,
            "lost": _lost(cache, mover, level),
            "first_error": self._described(tally),
            **_tallied(tally),
            **_percentiles("read_latency", tally.latency(READ)),
            **_percentiles("write_latency", tally.latency(WRITE)),
        }

    def _edge_row(self, edge: Edge, moved: Tally, through: Tally) -> dict[str, Any]:
        source, target = edge
        down = target > source
        return {
            "tier": self.names[source],
            "to_tier": self.names[target],
            "level": source,
            **_tallied(moved, through),
            "demoted_bytes": moved.write_bytes if down else 0,
            "promoted_bytes": 0 if down else moved.write_bytes,
            "through_bytes": through.write_bytes,
            "lost": moved.lost,
            "first_error": self._described(moved, through),
        }

    def _described(self, *tallies: Tally) -> str | None:
        failures = [tally.first_failure for tally in tallies if tally.first_failure is not None]
        if not failures:
            return None
        first = failures[0]
        short = f", short: {first.moved} bytes moved" if first.moved else ""
        name = errno.errorcode.get(first.errno, first.errno)
        where = self._where(first)
        return f"{KINDS[first.kind]} of {where} ({first.nbytes} bytes): {name} ({os.strerror(first.errno)}){short}"

    def _where(self, failure: Failure) -> str:
        level, slot = failure.place
        store = self._levels[level]
        # A level knows its slots by number, which are not the keys of the blocks.
        known = type(store).locate is not Store.locate
        return store.locate(slot) if known else f"slot {slot} of `{self.names[level]}`"

    def locate(self, key: int) -> str:
        """Of an operation that has just failed: the level and the place there, and how its block was lost."""
        failure = None if self._lane is None else self._lane.failed.get(key)
        if failure is None:
            return f"block {key}"
        where = self._where(failure)
        if failure.edge is None:
            return f"block {key} in `{self.names[failure.place.level]}`, {where}"
        source, target = (self.names[level] for level in failure.edge)
        verb = "read" if failure.kind == READ else "written"
        return f"block {key}, lost between `{source}` and `{target}` as {where} could not be {verb}"

    def path(self) -> PathReport:
        reports = [store.path() for store in self._levels]
        kinds = {report.kind for report in reports}
        alike: dict[str, list[str]] = {}
        for name, report in zip(self.names, reports, strict=True):
            alike.setdefault(f"{report.kind}, {report.evidence}", []).append(name)
        evidence = "; ".join(f"{', '.join(names)}: {said}" for said, names in alike.items())
        return PathReport(kinds.pop() if len(kinds) == 1 else "mixed", evidence)

    def check(self) -> None:
        self._in_each(lambda level: level.check())

    def close(self) -> None:
        """Nothing of its own: who opened the levels closes them."""
