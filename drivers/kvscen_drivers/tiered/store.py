"""The store and the lane of a tiered tier: the contract's side of the bookkeeping and the mover."""

from __future__ import annotations

import errno
import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from kvscen.plugin import (
    DISCARD,
    ERROR,
    KINDS,
    LOOKUP,
    MISS,
    OK,
    READ,
    WRITE,
    Arena,
    CacheLevel,
    Decided,
    DriverError,
    Histogram,
    Lane,
    Layout,
    Limits,
    Move,
    PathReport,
    Place,
    Rows,
    Store,
    Tier,
    TieredCache,
    Work,
    show_bytes,
)
from kvscen_drivers.tiered.mover import Edge, Mover, Tally
from kvscen_drivers.tiered.settings import admitted_bytes, capacity_of, request_blocks

# Moves that can be under way at once. Each holds one block: 16 keep a disk busy and cost 40 MiB with blocks of 2.5 MiB.
BOUNCE_BUFFERS = 16
# Bounce buffers start at a page, whatever the levels ask for.
_PAGE_BYTES = 4096


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _tallied(*tallies: Tally) -> dict[str, Any]:
    """The columns of what was really done: transfers of a level, or moves (their latency runs from decision to end)."""
    latency = Histogram()
    for tally in tallies:
        latency.merge(tally.latency())
    return {
        "operations": sum(tally.operations for tally in tallies),
        "errors": sum(tally.errors for tally in tallies),
        "latency_p50_ns": latency.percentile(0.5),
        "latency_p99_ns": latency.percentile(0.99),
        "latency_max_ns": latency.largest if latency.number else None,
    }


class Step(NamedTuple):
    """What was decided about a block of a request: the moves, and after them the operation that the core submits, if
    there is one. `level` is the one that had the block."""

    moves: Sequence[Move]
    kind: int | None = None
    key: int = 0
    places: Sequence[Place] = ()
    level: int = 0


class TieredArena(Arena):
    """The core's buffers, and behind them the bounce buffers, in one arena of a level."""

    def __init__(self, whole: Arena, nbytes: int, bounce: Sequence[int]) -> None:
        self.whole = whole
        self.bounce = tuple(bounce)
        self.view = whole.view[:nbytes]
        self.address = whole.address
        self.pages = whole.pages

    def close(self) -> None:
        self.whole.close()


class TieredStore(Store):
    def __init__(self, tier: Tier, work: Work, levels: Sequence[Store]) -> None:
        self.tier = tier
        self._levels = list(levels)
        self.names = [level.name for level in tier.levels]
        for name, store in zip(self.names, levels, strict=True):
            if store.virtual:
                raise DriverError(
                    f"tier `{tier.name}`: the level `{name}` is simulated, and tiered moves real bytes",
                    "build it of tiers that keep data, such as memory and posix",
                )
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
        if memory != "dram":
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
        self._lane = TieredLane(self, [store.lane(0, arena.whole) for store in self._levels], arena)
        return self._lane

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
        slots = [self._slots(level, layout) for level in range(len(self._levels))]
        for store, count in zip(self._levels, slots, strict=True):
            store.prepare(Layout(count, layout.block_bytes, layout.stride_bytes, 0, count))
        self.cache, self._slots_of = self._cache(slots, layout), slots
        self.block_bytes = layout.stride_bytes
        self.keys = range(layout.first_key, layout.first_key + layout.keys)
        self._laid_out = layout
        return self.keys

    def _cache(self, slots: Sequence[int], layout: Layout) -> TieredCache:
        settings, last = self.tier.settings, len(slots) - 1
        levels = []
        for level, count in enumerate(slots):
            admit = admitted_bytes(self.tier, level)
            levels.append(
                CacheLevel(
                    count,
                    Fraction(1) if level == last else settings.high_water_share,
                    None if admit is None else admit // layout.block_bytes,
                )
            )
        if all(level.admit is not None and level.admit < self.request_blocks for level in levels):
            raise DriverError(
                f"tier `{self.tier.name}`: no level admits requests of "
                f"{show_bytes(self.request_blocks * layout.block_bytes)}",
                "raise a size in `admit`",
            )
        return TieredCache(levels, settings.eviction, settings.promotion, settings.write)

    def _slots(self, level: int, layout: Layout) -> int:
        capacity = capacity_of(self.tier, level)
        if capacity is None:
            return layout.keys
        if capacity < layout.stride_bytes:
            raise DriverError(
                f"tier `{self.tier.name}`: the level `{self.names[level]}` may hold {show_bytes(capacity)}, "
                f"less than one block of {show_bytes(layout.stride_bytes)} with its padding",
                "raise its capacity",
            )
        return min(capacity // layout.stride_bytes, layout.keys)

    def _drain(self) -> None:
        if self._lane is not None:
            self._lane.drain()

    def settle(self) -> None:
        self._drain()
        for store in self._levels:
            store.settle()

    def reset(self) -> None:
        """Ends what is still moving and sets the counts to zero. What is cached stays, and the next trial finds a warm
        cache; but a replay begins with an empty one.
        """
        self._drain()
        for store in self._levels:
            store.reset()
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
        rows = [self._level_row(cache, level, mover.levels[level]) for level in levels]
        beside = {(level, level + 1) for level in levels[:-1]}
        for edge in sorted(beside | set(mover.edges) | set(mover.through)):
            rows.append(self._edge_row(edge, mover.edges[edge], mover.through[edge]))
        return rows

    def _level_row(self, cache: TieredCache, level: int, tally: Tally) -> dict[str, Any]:
        counts = cache.counts[level]
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
            **_tallied(tally),
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
        }

    def path(self) -> PathReport:
        reports = [store.path() for store in self._levels]
        kinds = {report.kind for report in reports}
        evidence = "; ".join(f"{n}: {r.kind}, {r.evidence}" for n, r in zip(self.names, reports, strict=True))
        return PathReport(kinds.pop() if len(kinds) == 1 else "mixed", evidence)

    def check(self) -> None:
        for store in self._levels:
            store.check()

    def close(self) -> None:
        """Nothing of its own: who opened the levels closes them."""


class TieredLane(Lane):
    def __init__(self, store: TieredStore, lanes: Sequence[Lane], arena: TieredArena) -> None:
        self._store = store
        self._lanes = lanes
        self._arena = arena
        self.mover = Mover(lanes, store.names, arena.bounce, store.clock)
        self._next_tag = 0
        #: What is in flight: tag -> (id, submit). Its result comes from the mover.
        self._flying: dict[int, tuple[int, int]] = {}
        #: What ended without any I/O: rows of COMPLETION.
        self._instant: deque[tuple[int, ...]] = deque()

    def submit(self, ops: Rows) -> int:
        cache = self._store.cache
        if cache is None:
            raise RuntimeError("submit before prepare")
        now = self._store.clock()
        size = self._store.block_bytes
        room = max(self._store.limits.max_in_flight - len(self._flying) - len(self._instant), 0)
        accepted = ops[:room]
        mover, blocks = self.mover, self._store.request_blocks
        for ident, key, offset, nbytes, buffer, kind, request in accepted[
            ["id", "key", "offset", "bytes", "buffer", "kind", "request"]
        ].tolist():
            if self._wrong(key, offset, nbytes, buffer, kind):
                self._instant.append((ident, now, now, 0, 0, errno.EINVAL, ERROR, 0, 0))
            elif self._store.decided:
                self._carry_out(ident, key, kind, offset, nbytes, buffer, now)
            elif kind == WRITE:
                written = cache.write(key, request, blocks)
                mover.move(written.moves, size)
                mover.write(written.places, nbytes, buffer, self._track(ident, now))
            elif kind == READ and (hit := cache.read(key, request, blocks)) is not None:
                mover.move(hit.moves, size)
                mover.read(hit.place, offset, nbytes, buffer, self._track(ident, now), hit.level)
            elif kind == LOOKUP and (found := cache.find(key)) is not None:
                self._instant.append((ident, now, now, 0, 0, 0, OK, found.level, 0))
            elif kind == DISCARD and cache.discard(key):
                self._instant.append((ident, now, now, 0, 0, 0, OK, 0, 0))
            else:
                self._instant.append((ident, now, now, 0, 0, 0, MISS, 0, 0))
        self.mover.push()
        return len(accepted)

    def _carry_out(self, ident: int, key: int, kind: int, offset: int, nbytes: int, buffer: int, now: int) -> None:
        """What was decided about this block when its request came. An operation out of turn is refused."""
        steps, mover, size = self._store.decided, self.mover, self._store.block_bytes
        step = steps[0]
        if (step.kind, step.key) != (kind, key):
            self._instant.append((ident, now, now, 0, 0, errno.EINVAL, ERROR, 0, 0))
            return
        steps.popleft()
        mover.move(step.moves, size)
        if kind == READ:
            mover.read(step.places[0], offset, nbytes, buffer, self._track(ident, now), step.level)
        else:
            mover.write(step.places, nbytes, buffer, self._track(ident, now))
        while steps and steps[0].kind is None:
            mover.move(steps.popleft().moves, size)

    def _wrong(self, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> bool:
        """Outside the layout or the arena, of no known kind, or a write of a part of a block."""
        if key not in self._store.keys or kind >= len(KINDS) or (kind == WRITE and offset):
            return True
        return offset + nbytes > self._store.block_bytes or buffer + nbytes > self._arena.nbytes

    def _track(self, ident: int, now: int) -> int:
        self._next_tag += 1
        self._flying[self._next_tag] = (ident, now)
        return self._next_tag

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        clock = self._store.clock
        deadline = clock() + timeout_ns
        wanted = min(at_least, len(out))
        self.mover.collect()
        count = self._deliver(out, 0)
        while count < wanted:
            left = deadline - clock()
            if left <= 0:
                break
            if not self.mover.collect(left) and self.mover.idle:
                time.sleep(left / 1e9)  # nothing is under way: there is only the time to wait for
            count = self._deliver(out, count)
        return count

    def _deliver(self, out: Rows, count: int) -> int:
        while self._instant and count < len(out):
            out[count] = self._instant.popleft()
            count += 1
        ended = self.mover.ended
        while ended and count < len(out):
            transfer = ended.popleft()
            assert transfer.tag is not None
            ident, submit = self._flying.pop(transfer.tag)
            outcome = ERROR if transfer.errno else OK
            moved = 0 if transfer.errno else transfer.moved
            level, wire_bytes = transfer.level, transfer.wire_bytes
            out[count] = (ident, submit, transfer.end_ns, moved, wire_bytes, transfer.errno, outcome, level, 0)
            count += 1
        return count

    def drain(self) -> None:
        """Wait for the moves that are under way. A level that hangs hangs this: the watchdog is there for it."""
        while self.mover.moves_left:
            self.mover.collect(10**9)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
