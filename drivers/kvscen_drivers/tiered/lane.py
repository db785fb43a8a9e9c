"""The lane of a tiered tier: operations become transfers of the mover, in the order of the decisions."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

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
    Lane,
    Move,
    Place,
    Rows,
)
from kvscen_drivers.tiered.mover import Failure, Mover

if TYPE_CHECKING:
    from kvscen_drivers.tiered.store import TieredStore


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


class TieredLane(Lane):
    def __init__(self, store: TieredStore, lanes: Sequence[Lane], mover: Mover, arena: TieredArena) -> None:
        self._store = store
        self._lanes = lanes
        self._arena = arena
        self.mover = mover
        self._next_tag = 0
        #: What is in flight: tag -> (id, key, submit). Its result comes from the mover.
        self._flying: dict[int, tuple[int, int, int]] = {}
        #: Of what the last `reap` delivered: why operations on these keys failed.
        self.failed: dict[int, Failure] = {}
        #: What ended without any I/O: rows of COMPLETION.
        self._instant: deque[tuple[int, ...]] = deque()

    @property
    def idle(self) -> bool:
        """Nothing of the caller's is in flight; moves may be."""
        return not self._flying and not self._instant

    @property
    def has_ended(self) -> bool:
        """Something of the caller's has ended and was not reaped."""
        return bool(self._instant or self.mover.ended)

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
                mover.write(written.places, nbytes, buffer, self._track(ident, key, now))
            elif kind == READ and (hit := cache.read(key, request, blocks)) is not None:
                mover.move(hit.moves, size)
                mover.read(hit.place, offset, nbytes, buffer, self._track(ident, key, now), hit.level)
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
            mover.read(step.places[0], offset, nbytes, buffer, self._track(ident, key, now), step.level)
        else:
            mover.write(step.places, nbytes, buffer, self._track(ident, key, now))
        while steps and steps[0].kind is None:
            mover.move(steps.popleft().moves, size)

    def _wrong(self, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> bool:
        """Outside the layout or the arena, of no known kind, or a write of a part of a block."""
        if key not in self._store.keys or kind >= len(KINDS) or (kind == WRITE and offset):
            return True
        return offset + nbytes > self._store.block_bytes or buffer + nbytes > self._arena.nbytes

    def _track(self, ident: int, key: int, now: int) -> int:
        self._next_tag += 1
        self._flying[self._next_tag] = (ident, key, now)
        return self._next_tag

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        self.failed.clear()
        clock = self._store.clock
        deadline = clock() + timeout_ns
        wanted = min(at_least, len(out))
        if not wanted or self.has_ended:
            self.mover.collect()
        count = self._deliver(out, 0)
        while count < wanted:
            left = deadline - clock()
            if left <= 0:
                break
            self.mover.collect(left)
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
            ident, key, submit = self._flying.pop(transfer.tag)
            moved, code, outcome = transfer.moved, 0, OK
            failure = transfer.failure
            if failure is not None:
                self.failed.setdefault(key, failure)
                moved, code, outcome = 0, failure.errno, ERROR
            level, wire_bytes = transfer.level, transfer.wire_bytes
            out[count] = (ident, submit, transfer.end_ns, moved, wire_bytes, code, outcome, level, 0)
            count += 1
        return count

    def drain(self) -> None:
        """Wait for the moves that are under way. A level that hangs hangs this: the watchdog is there for it."""
        while self.mover.moves_left:
            self.mover.collect(10**9)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
