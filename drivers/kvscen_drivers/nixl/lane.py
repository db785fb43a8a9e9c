"""The lane: each operation, or each batch, is a transfer of NIXL's own, posted and then looked at until it has ended.

NIXL tells of no end by itself, so the lane looks at every transfer in flight in turn. That is how its users wait too;
the time between two looks is how well the end of a transfer is known. The bindings let go of the interpreter in each
call, so the lanes of a process do not keep each other waiting.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import ANY_BUFFER, OPERATION, RAW_OPERATION, WRITE, Arena, Clock, Lane, Layout, Rows
from kvscen_drivers.nixl.agent import ACTIVE, DONE, Agent, Place, Request, errno_of
from kvscen_drivers.nixl.transfers import Buffers, Figures, Kept, Posting, Transfer
from kvscen_drivers.posix.places import Area
from kvscen_drivers.reports import Ended, Report

#: The words of an operation that say what it moves and where: key, offset, bytes, buffer. With its kind they are what
#: makes two of them alike.
_WORDS, _WHAT = OPERATION.itemsize // 8, slice(1, 5)
#: How long `close` waits for what is in flight.
_CLOSE_S = 1.0

_log = logging.getLogger("kvscen.driver")
#: Agents with transfers that never ended: taking them down would wait for these.
_left_behind: list[Agent] = []


@attrs.define(eq=False, slots=True)
class Waiting:
    """A batch, or a part of one, that gets its buffers when it is started: rows [first, last) of what was accepted."""

    ops: Rows
    identity: Hashable
    report: Report
    first: int
    last: int


class NixlLane(Lane):
    """At most `depth` operations. `batch` of them at most are one transfer, where they are of one batch; where it is 0
    each operation is one.

    What `submit` accepts is posted at the next `reap`; batches beyond `limit` wait for those before them. `again`:
    requests are kept and posted again. `sign`, if any, is a word that is counted up whenever the lane is used.
    """

    def __init__(
        self,
        agent: Agent,
        arena: Arena,
        depth: int,
        clock: Clock,
        *,
        batch: int,
        again: bool,
        sign: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.figures = Figures()
        self._agent = agent
        self._area = Area()
        self._sign = sign
        self.view = arena.view  # NIXL is told addresses: the memory must stay
        self._address, self._arena_bytes = arena.address, arena.nbytes
        self._depth = depth
        self._clock = clock
        self._batch = batch
        self._kept = Kept()
        self._again = again
        self._accepted = 0
        self._ready: deque[Posting] = deque()
        self._flying: list[Posting] = []
        self._ended = Ended()
        # Of a lane that has a limit: the bytes of a buffer, the batches' parts of the arena that are free (the one that
        # was free last is the next to be used), and what waits for one.
        self._buffer_bytes = 0
        self._free: list[Buffers] = []
        self._waiting: deque[Waiting] = deque()
        self._told = self._closed = False
        self._busy = threading.Lock()

    def turn_to(self, place: Place, layout: Layout) -> None:
        """Where the blocks are from now on. Nothing is in flight."""
        self._kept.clear()
        self._area.place(layout)
        self._agent.turn_to(place)

    def limit(self, in_flight: int) -> None:
        """Whole batches are held back, or parts of at most `in_flight` operations where a batch is larger."""
        assert self._batch, "operations by themselves are not held back"
        self._batch = min(self._batch, in_flight)
        self._buffer_bytes = self._arena_bytes // in_flight
        bytes_of_batch = self._batch * self._buffer_bytes
        self._free = [Buffers(part * bytes_of_batch) for part in reversed(range(in_flight // self._batch))]

    @property
    def closed(self) -> bool:
        return self._closed

    # ---- in

    def submit(self, ops: Rows) -> int:
        if not len(ops) or self._closed:
            return 0
        if self._buffer_bytes and int(ops["buffer"][0]) == ANY_BUFFER:
            self._hold_back(ops)
            self._accepted += len(ops)
            return len(ops)
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0:
            return 0
        ops = ops[:count]
        report = Report(ops, self._clock())
        if self._batch:
            for first, last in self._batches(ops):
                batch = ops[first:last]
                identity = _what(batch).tobytes(), batch["kind"].tobytes()
                transfer = self._kept.take(identity)
                if transfer is None:
                    self._ready += self._new(batch, identity, report, first, None)
                else:
                    self._ready.append(Posting(transfer, report, first, last))
        else:
            self._line_up_singly(ops, report)
        self._accepted += count
        return count

    def _line_up_singly(self, ops: Rows, report: Report) -> None:
        for number, identity in enumerate(zip(*_what(ops).T.tolist(), ops["kind"].tolist(), strict=True)):
            transfer = self._kept.take(identity)
            if transfer is None:
                block = self._block(*identity)
                if block is None:
                    self._refuse(report, number)
                    continue
                transfer = Transfer(identity, identity[-1] == WRITE, (block,))
            self._ready.append(Posting(transfer, report, number, number + 1))

    def _hold_back(self, ops: Rows) -> None:
        ops = ops.view(RAW_OPERATION).copy().view(OPERATION)
        report = Report(ops, 0)
        what, kinds = _what(ops).tobytes(), ops["kind"].tobytes()
        width = len(what) // len(ops)
        for first, last in self._batches(ops):
            identity = what[first * width : last * width], kinds[first:last]
            self._waiting.append(Waiting(ops, identity, report, first, last))

    def _batches(self, ops: Rows) -> Iterator[tuple[int, int]]:
        """[first, last) of each batch, in pieces where it is larger than a transfer may be."""
        batches, first = ops["batch"], 0
        ends = [len(ops)]
        if batches[0] != batches[-1]:
            ends = [*(np.flatnonzero(batches[1:] != batches[:-1]) + 1).tolist(), len(ops)]
        for end in ends:
            while first < end:
                last = min(first + self._batch, end)
                yield first, last
                first = last

    def _new(self, ops: Rows, identity: Hashable, report: Report, first: int, buffers: Buffers | None) -> list[Posting]:
        """A batch that has not been posted before, whose rows begin at `first`: one transfer, or one for each change
        between reads and writes."""
        blocks, writes, made, start = [], [], [], 0
        for number, (_, operation_key, offset, nbytes, buffer, _, _, _, kind, _) in enumerate(ops.tolist()):
            block = self._block(operation_key, offset, nbytes, buffer, kind)
            blocks.append(block)
            writes.append(None if block is None else kind == WRITE)
            if block is None:
                self._refuse(report, first + number)
        for end in range(1, len(ops) + 1):
            if end < len(ops) and writes[end] == writes[start]:
                continue
            write = writes[start]
            if write is not None:
                whole = end - start == len(ops)
                transfer = Transfer(identity if whole else None, write, [b for b in blocks[start:end] if b is not None])
                made.append(Posting(transfer, report, first + start, first + end, buffers))
            start = end
        return made

    def _block(self, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> tuple[int, int, int] | None:
        """What NIXL is told of an operation; None where it is no read or write of a block's own range."""
        spot = self._area.find(key, offset, nbytes)
        if spot is None or buffer + nbytes > self._arena_bytes or kind > WRITE:
            return None
        return self._address + buffer, spot[1], nbytes

    def _refuse(self, report: Report, number: int) -> None:
        report.fail(number, number + 1, self._clock(), errno.EINVAL)
        self._ended.add(report, number, number + 1)

    # ---- out

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        if self._sign is not None:
            self._sign[0] += 1
        with self._busy:
            return 0 if self._closed else self._reap(out, min(at_least, len(out)), timeout_ns)

    def _reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        began = time.monotonic_ns()
        looks = 0
        while True:
            while self._ready:
                self._post(self._ready.popleft())
            while self._waiting and self._free:
                self._start(self._waiting.popleft())
            if self._flying:
                self._look()
                looks += 1
                if self._waiting and self._free:
                    continue  # what waits is not kept waiting
            waited = time.monotonic_ns() - began
            if self._ended.count >= at_least or waited >= timeout_ns:
                break
            if not self._flying and not self._waiting:
                time.sleep((timeout_ns - waited) / 1e9)
                break
        if looks:
            self.figures.looks += looks
            self.figures.looking_ns += time.monotonic_ns() - began
        count = self._ended.take(out)
        self._accepted -= count
        return count

    def _start(self, waiting: Waiting) -> None:
        """Give a batch its buffers and post it: its time begins."""
        report, first, last = waiting.report, waiting.first, waiting.last
        buffers = self._free.pop()
        report.submits[first:last] = self._clock()
        identity = waiting.identity, buffers.first
        transfer = self._kept.take(identity)
        if transfer is not None:
            buffers.used = 1
            self._post(Posting(transfer, report, first, last, buffers))
            return
        ops = waiting.ops[first:last]
        ops["buffer"] = buffers.first + np.arange(len(ops)) * self._buffer_bytes
        postings = self._new(ops, identity, report, first, buffers)
        buffers.used = len(postings)
        if not postings:
            self._free.append(buffers)
        for posting in postings:
            self._post(posting)

    def _post(self, posting: Posting) -> None:
        figures, clock, transfer = self.figures, self._clock, posting.transfer
        began = clock()
        try:
            if transfer.request is None:
                transfer.request = self._request(transfer)
                figures.made += 1
            made = clock()
            state = self._agent.post(transfer.request)
        except Exception as error:  # the bindings have error classes of their own
            self._fail(posting, error)
            return
        posted = clock()
        figures.transfers += 1
        figures.making_ns += made - began
        figures.posting_ns += posted - made
        posting.posted_ns = posted
        if state == ACTIVE:
            self._flying.append(posting)
        elif state == DONE:
            self._end(posting, posted)
        else:
            self._fail(posting, None)

    def _request(self, transfer: Transfer) -> Request:
        return self._agent.request(transfer.write, transfer.blocks)

    def _look(self) -> None:
        """At each transfer in flight, once."""
        look = self._agent.look
        flying = []
        for posting in self._flying:
            try:
                state = look(posting.transfer.request)
            except Exception as error:  # the bindings have error classes of their own
                self._fail(posting, error)
                continue
            if state == ACTIVE:
                flying.append(posting)
            elif state == DONE:
                now = self._clock()
                self.figures.moving_ns += now - posting.posted_ns
                self._end(posting, now)
            else:
                self._fail(posting, None)
        self._flying = flying

    def _end(self, posting: Posting, now: int) -> None:
        """All of a transfer's operations end with it."""
        posting.report.ends[posting.first : posting.last] = now
        self._over(posting)
        if self._again and posting.transfer.identity is not None:
            self._kept.put(posting.transfer)

    def _fail(self, posting: Posting, error: Exception | None) -> None:
        """NIXL does not say which operation of a transfer failed: none of them counts."""
        if not self._told:
            self._told = True
            _log.error("a transfer of NIXL failed: %s (further ones are only counted)", error or "without a reason")
        posting.report.fail(posting.first, posting.last, self._clock(), errno.EIO if error is None else errno_of(error))
        self._over(posting)

    def _over(self, posting: Posting) -> None:
        self._ended.add(posting.report, posting.first, posting.last)
        buffers = posting.buffers
        if buffers is not None:
            buffers.used -= 1
            if not buffers.used:
                self._free.append(buffers)

    # ---- the end

    def close(self) -> None:
        """Waits a second for what is in flight. What hangs longer is left behind, with its agent."""
        if self._closed or not self._busy.acquire(timeout=_CLOSE_S):
            self._closed = True  # another thread hangs in NIXL: it goes with the process
            return
        try:
            self._closed = True
            self._ready.clear()
            self._waiting.clear()
            deadline = time.monotonic() + _CLOSE_S
            while self._flying and time.monotonic() < deadline:
                self._look()
            self._ended.clear()
            self._kept.clear()
            if self._flying:
                _left_behind.append(self._agent)
            else:
                self._agent.close()
        finally:
            self._busy.release()


def _what(ops: Rows) -> npt.NDArray[np.uint64]:
    return ops.view(np.uint64).reshape(-1, _WORDS)[:, _WHAT]
