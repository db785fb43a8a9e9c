"""The I/O that follows from the decisions: a transfer starts as soon as what it depends on has ended, not before.

Transfers come in the order of the decisions. One depends on earlier ones through the slots that it touches:

    reading a slot      waits for the last write of that slot
    writing a slot      waits for the last write and for every read since

A move is two transfers, a read and a write, through a bounce buffer of its own. A promotion is read before the moves
that make room for it are done and written after them, as its block may change places with one of theirs. Buffers are
granted in the order of the moves, and there are at least two: the oldest unfinished promotion has one, the moves that
it waits for are next in turn and wait for nothing younger, so nothing can deadlock. A transfer that fails spoils the
slot that it should have filled: whoever reads the slot later fails for the same reason, without I/O, until it is
written again. So a block that could not be moved is lost, counted on its edge, and never a hit.

A block that is written through is written at all of its places from the caller's buffer, and has been written when the
last of them has.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs
import numpy as np

from kvscen.plugin import COMPLETION, OK, OPERATION, READ, WRITE, DriverError, Histogram, Lane, Move, Place

# How many latencies are gathered before they are sorted into the histogram, which costs the same for one or a thousand.
_FLUSH = 1024
# How many rows travel between us and a level at once.
_ROWS = 128
# While several levels are busy, how long we wait at one before we look at the next: the most by which a completion
# there is seen late.
_SLICE_NS = 20_000


#: The level that a block came from, and the one where it went.
Edge = tuple[int, int]


@attrs.frozen
class Failure:
    """A transfer that failed on a level. `edge`: it was part of a move over this edge; None: it was the caller's."""

    kind: int
    place: Place
    nbytes: int
    moved: int
    errno: int
    edge: Edge | None


@attrs.define(eq=False)
class Transfer:
    """One read or write of a slot. `tag` is what the caller knows it by; a transfer of a move has none, and neither has
    a further copy of what the caller writes: `whole` is the first one. `parts` of a caller's transfer have not ended.
    """

    kind: int
    place: Place
    offset: int
    nbytes: int
    buffer: int
    tag: int | None = None
    move: _Moving | None = None
    whole: Transfer | None = None
    parts: int = 1
    #: The level that the caller is told.
    level: int = 0
    waits: int = 0
    followers: list[Transfer] = attrs.field(factory=list)
    done: bool = False
    #: How it ended: why not well, what was moved, when.
    failure: Failure | None = None
    moved: int = 0
    wire_bytes: int = 0
    end_ns: int = 0


@attrs.define(eq=False)
class _Moving:
    """A move on its way, or a further copy of what the caller writes, which has no `read`."""

    edge: Edge
    decided_ns: int
    read: Transfer | None = None
    write: Transfer = attrs.field(init=False)


class _Slot:
    """The last writer of a slot, and who read it since."""

    __slots__ = ("readers", "writer")

    def __init__(self) -> None:
        self.writer: Transfer | None = None
        self.readers: list[Transfer] = []


class Tally:
    """The transfers of a level, or the moves over an edge, that have ended. `lost`: blocks that were well before a move
    of theirs failed."""

    def __init__(self) -> None:
        self.operations = 0
        self.errors = 0
        self.lost = 0
        self.first_failure: Failure | None = None
        self.read_bytes = 0
        self.write_bytes = 0
        self._pending: dict[int, list[int]] = {READ: [], WRITE: []}
        self._latency = {READ: Histogram(), WRITE: Histogram()}

    def fail(self, failure: Failure) -> None:
        self.errors += 1
        self.first_failure = self.first_failure or failure

    def count(self, kind: int, nbytes: int, latency_ns: int) -> None:
        self.operations += 1
        if kind == READ:
            self.read_bytes += nbytes
        else:
            self.write_bytes += nbytes
        pending = self._pending[kind]
        pending.append(latency_ns)
        if len(pending) >= _FLUSH:
            self._flush(kind)

    def _flush(self, kind: int) -> None:
        self._latency[kind].add(np.array(self._pending[kind], np.int64))
        self._pending[kind].clear()

    def latency(self, kind: int) -> Histogram:
        """Of the reads, or of the writes; a move counts as a write."""
        self._flush(kind)
        return self._latency[kind]


def blame(error: Exception, level: str) -> None:
    """What a level raises is to say which one it was."""
    if f"`{level}`" not in str(error):
        error.add_note(f"in the level `{level}`")


@contextmanager
def in_level(name: str) -> Iterator[None]:
    """`blame`, where it need not be quick."""
    try:
        yield
    except Exception as error:
        blame(error, name)
        raise


class Mover:
    """Runs transfers on the lanes of the levels. `bounce` are the offsets of its own buffers in the arena."""

    def __init__(self, lanes: Sequence[Lane], names: Sequence[str], bounce: Sequence[int], clock: Callable[[], int]):
        self._lanes = lanes
        self._names = names
        self._clock = clock
        self._buffers = list(bounce)
        self._queued_moves: deque[_Moving] = deque()
        self._slots: dict[Place, _Slot] = {}
        #: What is to fail, as what it needs was spoiled.
        self._doomed: deque[tuple[Transfer, Failure]] = deque()
        #: Slots whose content is not what should be there, and why.
        self.spoiled: dict[Place, Failure] = {}
        self._ready: list[deque[Transfer]] = [deque() for _ in lanes]
        self._flying: list[dict[int, Transfer]] = [{} for _ in lanes]
        self._next_id = 0
        self._rows = np.zeros(_ROWS, OPERATION)
        self._out = np.zeros(_ROWS, COMPLETION)
        self._turn = 0
        self._moves_left = 0
        #: The caller's transfers that have ended, in the order in which they did.
        self.ended: deque[Transfer] = deque()
        self.reset_tallies()

    def reset_tallies(self) -> None:
        self.levels = [Tally() for _ in self._lanes]
        #: What was moved, and what was written through (from the level of the first copy).
        self.edges: defaultdict[Edge, Tally] = defaultdict(Tally)
        self.through: defaultdict[Edge, Tally] = defaultdict(Tally)

    @property
    def moves_left(self) -> int:
        """Moves that have not ended."""
        return self._moves_left

    # -- what the decisions ask for, in their order

    def read(self, place: Place, offset: int, nbytes: int, buffer: int, tag: int, level: int) -> None:
        """`level` is the one that had the block."""
        self._start(Transfer(READ, place, offset, nbytes, buffer, tag, level=level))
        self._fail_doomed()

    def write(self, places: Sequence[Place], nbytes: int, buffer: int, tag: int) -> None:
        first = places[0]
        whole = Transfer(WRITE, first, 0, nbytes, buffer, tag, parts=len(places), level=first.level)
        self._start(whole)
        for place in places[1:]:
            copying = _Moving((first.level, place.level), self._clock())
            copying.write = Transfer(WRITE, place, 0, nbytes, buffer, move=copying, whole=whole)
            self._moves_left += 1
            self._start(copying.write)

    def move(self, moves: Sequence[Move], nbytes: int) -> None:
        """What a decision asks for. A promotion can only be the first."""
        movings = [self._moving(move, nbytes) for move in moves]
        up = movings.pop(0) if moves and moves[0].up else None
        if up is not None:
            assert up.read is not None
            self._start(up.read)
            self._queued_moves.append(up)
        for moving in movings:
            assert moving.read is not None
            self._start(moving.read)
            self._start(moving.write)
            self._queued_moves.append(moving)
        if up is not None:
            self._start(up.write)
        self._grant_buffers()
        self._fail_doomed()

    def _moving(self, move: Move, nbytes: int) -> _Moving:
        moving = _Moving((move.source.level, move.target.level), self._clock())
        moving.read = Transfer(READ, move.source, 0, nbytes, 0, move=moving, waits=1)  # the buffer
        moving.write = Transfer(WRITE, move.target, 0, nbytes, 0, move=moving)
        self._moves_left += 1
        self._after(moving.write, moving.read)
        return moving

    # -- what the lanes do

    def push(self) -> None:
        """Hand ready transfers to the levels, as many as these take."""
        for level, ready in enumerate(self._ready):
            if ready:
                self._push(level, ready)

    def _push(self, level: int, ready: deque[Transfer]) -> None:
        while ready:
            count = min(len(ready), _ROWS)
            rows = self._rows[:count]
            rows[["id", "key", "offset", "bytes", "buffer", "kind"]] = [
                (self._next_id + row, t.place.slot, t.offset, t.nbytes, t.buffer, t.kind)
                for row, t in enumerate(itertools.islice(ready, count))
            ]
            try:
                accepted = self._lanes[level].submit(rows)
            except Exception as error:
                blame(error, self._names[level])
                raise
            if not accepted and not self._flying[level]:
                raise DriverError(f"the level `{self._names[level]}` accepts no operation although none is in flight")
            for row in range(accepted):
                self._flying[level][self._next_id + row] = ready.popleft()
            self._next_id += count
            if accepted < count:
                break

    def collect(self, timeout_ns: int = 0) -> bool:
        """Take what the levels have finished; wait up to `timeout_ns` if that is nothing. True if something ended."""
        self.push()
        busy = [level for level, flying in enumerate(self._flying) if flying]
        found = False
        if len(busy) > 1 or timeout_ns <= 0:
            for level in busy:
                found |= self._reap(level, 0, 0)
        if not found and timeout_ns > 0:
            found = self._wait(busy, timeout_ns)
        self.push()
        return found

    def _wait(self, busy: Sequence[int], timeout_ns: int) -> bool:
        """Where nothing is with the levels there is only the time to wait for."""
        if not busy:
            time.sleep(timeout_ns / 1e9)
            return False
        self._turn += 1
        wait = timeout_ns if len(busy) == 1 else min(timeout_ns, _SLICE_NS)
        return self._reap(busy[self._turn % len(busy)], 1, wait)

    # -- the graph

    def _start(self, transfer: Transfer) -> None:
        """Tie a transfer to those before it, and start it if there are none."""
        slot = self._slots.setdefault(transfer.place, _Slot())
        if slot.writer is not None:
            self._after(transfer, slot.writer)
        if transfer.kind == READ:
            slot.readers.append(transfer)
        else:
            for reader in slot.readers:
                self._after(transfer, reader)
            slot.readers = []
            slot.writer = transfer
        if transfer.waits == 0:
            self._go(transfer)

    def _after(self, later: Transfer, earlier: Transfer) -> None:
        if not earlier.done and later is not earlier:
            earlier.followers.append(later)
            later.waits += 1

    def _release(self, transfer: Transfer) -> None:
        transfer.waits -= 1
        if transfer.waits == 0:
            self._go(transfer)

    def _go(self, transfer: Transfer) -> None:
        """Nothing stands in its way any more; but what has nothing good to read or write is to fail."""
        moving = transfer.move
        if transfer.kind == READ:
            failure = self.spoiled.get(transfer.place) if self.spoiled else None
        else:
            failure = moving.read.failure if moving is not None and moving.read is not None else None
        if failure is not None:
            self._doomed.append((transfer, failure))
        else:
            self._ready[transfer.place.level].append(transfer)

    def _fail_doomed(self) -> None:
        while self._doomed:
            transfer, failure = self._doomed.popleft()
            self._end(transfer, failure, self._clock())

    def _grant_buffers(self) -> None:
        while self._queued_moves and self._buffers:
            moving = self._queued_moves.popleft()
            assert moving.read is not None
            moving.read.buffer = moving.write.buffer = self._buffers.pop()
            self._release(moving.read)

    def _reap(self, level: int, at_least: int, timeout_ns: int) -> bool:
        flying = self._flying[level]
        try:
            count = self._lanes[level].reap(self._out, min(at_least, len(flying)), timeout_ns)
        except Exception as error:
            blame(error, self._names[level])
            raise
        tally = self.levels[level]
        for ident, submit, end, moved, wire, code, outcome in self._out[:count][
            ["id", "submit", "end", "bytes", "wire_bytes", "errno", "outcome"]
        ].tolist():
            transfer = flying.pop(ident, None)
            if transfer is None:
                raise DriverError(
                    f"the level `{self._names[level]}` completed an operation that it was not given ({ident})"
                )
            transfer.wire_bytes += wire
            if outcome == OK and moved == transfer.nbytes:
                transfer.moved = moved
                tally.count(transfer.kind, moved, end - submit)
                self._end(transfer, None, end)
            else:
                failure = self._failed(transfer, moved, code)
                tally.fail(failure)
                self._end(transfer, failure, end)
        self._fail_doomed()
        return count > 0

    def _failed(self, transfer: Transfer, moved: int, code: int) -> Failure:
        moving = transfer.move
        edge = None if moving is None else moving.edge
        if moving is not None and moving.read is not None:
            self.edges[moving.edge].lost += 1
        return Failure(transfer.kind, transfer.place, transfer.nbytes, moved, code or errno.EIO, edge)

    def _end(self, transfer: Transfer, failure: Failure | None, end_ns: int) -> None:
        transfer.failure, transfer.done = transfer.failure or failure, True
        transfer.end_ns = max(end_ns, transfer.end_ns)
        slot = self._slots[transfer.place]
        if transfer.kind == WRITE:
            if failure is not None:
                self.spoiled[transfer.place] = failure
            elif self.spoiled:
                self.spoiled.pop(transfer.place, None)
            if slot.writer is transfer:
                slot.writer = None
        elif transfer in slot.readers:
            slot.readers.remove(transfer)
        self._end_whole(transfer, failure, end_ns)
        moving = transfer.move
        if moving is not None and transfer is moving.write:
            self._end_move(moving, failure, end_ns)
        followers, transfer.followers = transfer.followers, []
        for follower in followers:
            self._release(follower)

    def _end_whole(self, transfer: Transfer, failure: Failure | None, end_ns: int) -> None:
        """What the caller asked for has ended when all of its parts have, and well if all did."""
        whole = transfer.whole
        if whole is None:
            whole = transfer
        else:
            whole.failure = whole.failure or failure
            whole.end_ns = max(whole.end_ns, end_ns)
            whole.wire_bytes += transfer.wire_bytes
        if whole.tag is not None:
            whole.parts -= 1
            if not whole.parts:
                self.ended.append(whole)

    def _end_move(self, moving: _Moving, failure: Failure | None, end_ns: int) -> None:
        tally = (self.edges if moving.read is not None else self.through)[moving.edge]
        if failure is not None:
            tally.fail(failure)
        else:
            tally.count(WRITE, moving.write.moved, end_ns - moving.decided_ns)
        self._moves_left -= 1
        if moving.read is not None:
            self._buffers.append(moving.write.buffer)
            self._grant_buffers()
