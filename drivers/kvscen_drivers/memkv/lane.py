"""The lane: operations become requests, on a connection or several to each server; answers become completions.

One thread does all of it. What is in flight is sent and received without waiting; `reap` waits for any of the lane's
connections, and looks again for `spin_ns` before it sleeps, as long as answers come soon.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs

from kvscen.plugin import ANY_BUFFER, MISS, Arena, Clock, Rows
from kvscen.plugin import Lane as PluginLane
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.chunk import Chunk, Place
from kvscen_drivers.memkv.coalesce import Fetch, Wanted, carry_out, coalesce, one_for_all
from kvscen_drivers.memkv.line import Broken, Item, Line, Unit
from kvscen_drivers.memkv.lines import Lines
from kvscen_drivers.memkv.patience import Patience
from kvscen_drivers.memkv.protocol import REQUEST_ROW, Op
from kvscen_drivers.reports import Ended, Report

#: The most bytes that are fetched together.
_MOST_FETCHED = 1 << 30

_HEAD_BYTES = REQUEST_ROW.itemsize
_GET, _PUT = int(Op.GET), int(Op.PUT)

_log = logging.getLogger("kvscen.driver")


@attrs.define
class Figures:
    """What a lane has done since `Figures` was made."""

    operations: int = 0
    requests: int = 0
    coalesced: int = 0


@attrs.define(eq=False, slots=True)
class Buffers:
    """A part of the arena for one operation or one batch at a time; `used` counts the requests in flight in it."""

    first: int
    used: int = 0


class MemkvLane(PluginLane):
    """At most `depth` operations. `dial` makes a connection to a server (by number) and may raise DriverError.

    `batch`: the requests of a batch are framed as one message for each connection, at most so many; 0: each by itself.
    `merges`: reads of one batch are coalesced.
    """

    def __init__(
        self,
        dial: Callable[[int], Line],
        servers: int,
        connections: int,
        arena: Arena,
        depth: int,
        clock: Clock,
        *,
        batch: int,
        merges: bool,
        evicts: bool,
        timeout_ns: int,
        spin_ns: int,
    ) -> None:
        """Raises DriverError where a server cannot be reached."""
        self.figures = Figures()
        self._bytes, self._view = arena.view, arena.view.data
        self._arena_bytes = arena.nbytes
        self._depth, self._clock = depth, clock
        self._batch, self._merges, self._evicts = batch, merges, evicts
        self._timeout_ns = timeout_ns
        self._patience = Patience(spin_ns)
        self._place: Place | None = None
        self._accepted = 0
        self._number = 1
        self._ended = Ended()
        self._limited = False
        self._buffer_bytes = 0
        self._free: list[Buffers] = []
        # What waits for buffers, each from its first row on that has not begun.
        self._waiting: deque[Chunk] = deque()
        self._closed = False
        self._busy = threading.Lock()
        self.lines = Lines(dial, servers, connections, timeout_ns)
        self._only = self.lines.only
        self._overhead_bytes = self.lines.overhead_bytes

    def turn_to(self, place: Place) -> None:
        """Where the blocks are from now on. Nothing is in flight."""
        self._place = place

    def limit(self, in_flight: int) -> None:
        """Single operations are held back, or whole batches where they are framed."""
        self._limited = True
        self._buffer_bytes = self._arena_bytes // in_flight
        group = min(self._batch or 1, in_flight)
        if self._batch:
            self._batch = group
        self._free = [Buffers(part * group * self._buffer_bytes) for part in reversed(range(in_flight // group))]

    @property
    def closed(self) -> bool:
        return self._closed

    # ---- in

    def submit(self, ops: Rows) -> int:
        if not len(ops) or self._closed or self._place is None:
            return 0
        if self._limited and int(ops["buffer"][0]) == ANY_BUFFER:
            chunk = Chunk(ops, 0, self._place, self._buffer_bytes, True, self._number, self._overhead_bytes)
            self._number += len(ops)
            self._accepted += len(ops)
            self._waiting.append(chunk)
            self._start_waiting()
            self._send()
            return len(ops)
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0:
            return 0
        chunk = Chunk(
            ops[:count], self._clock(), self._place, self._arena_bytes, False, self._number, self._overhead_bytes
        )
        self._number += count
        self._accepted += count
        for first, last in self._groups(chunk, 0):
            self._start(chunk, first, last, chunk.buffers[first:last], None)
        self._send()
        return count

    def _groups(self, chunk: Chunk, first: int) -> Iterable[tuple[int, int]]:
        """[first, last) of what is asked for together: a batch, in pieces where it is larger than a frame may be."""
        most = self._batch or (chunk.count if self._merges else 0)
        if not most:
            yield first, chunk.count
            return
        batches = chunk.batches
        while first < chunk.count:
            last = first + 1
            while last < chunk.count and last - first < most and batches[last] == batches[first]:
                last += 1
            yield first, last
            first = last

    def _start_waiting(self) -> None:
        """What waits gets the buffers that are free: its time begins."""
        waiting, free = self._waiting, self._free
        while waiting and free:
            chunk, buffers = waiting[0], free.pop()
            first = chunk.begun
            last = next(iter(self._groups(chunk, first)))[1] if self._batch else first + 1
            chunk.begun = last
            if last == chunk.count:
                waiting.popleft()
            chunk.report.submits[first:last] = self._clock()
            if last == first + 1 and chunk.good is None:
                self.figures.operations += 1
                self._ask(chunk, first, buffers.first, buffers)
                continue
            size = self._buffer_bytes
            places = range(buffers.first, buffers.first + (last - first) * size, size)
            buffers.used = 1
            self._start(chunk, first, last, places, buffers)
            self._over(buffers)

    def _start(self, chunk: Chunk, first: int, last: int, places: Sequence[int], buffers: Buffers | None) -> None:
        """Rows [first, last) of a chunk, whose bytes go to, or come from, these places of the arena."""
        rows: Iterable[int] = range(first, last)
        if chunk.good is not None:
            now = self._clock()
            for row in range(first, last):
                if not chunk.good[row]:
                    self._fail_row(chunk.report, row, errno.EINVAL, now)
            rows = [row for row in range(first, last) if chunk.good[row]]
        self.figures.operations += last - first
        if self._merges and last - first > 1 and chunk.is_one(first, last):
            offset, nbytes = chunk.offsets[first], chunk.nbytes[first]
            fetch = one_for_all(offset, nbytes, places, range(first, last))
            line = self._only or self._line(chunk, first)
            self._put_on(line, [self._merged(chunk, chunk.values[first], fetch, buffers)], buffers)
            return
        merged: dict[int, list[Wanted]] | None = {} if self._merges and last - first > 1 else None
        if merged is None and not self._batch:
            for row in rows:
                self._ask(chunk, row, places[row - first], buffers)
            return
        units: dict[Line, list[Item]] = {}
        for row in rows:
            place = places[row - first]
            if merged is not None and not chunk.writes[row]:
                range_ = Wanted(chunk.offsets[row], chunk.nbytes[row], place, row)
                merged.setdefault(chunk.values[row], []).append(range_)
                continue
            line = self._only or self._line(chunk, row)
            units.setdefault(line, []).append(self._single(chunk, row, place, buffers))
        for value, wanted in (merged or {}).items():
            for fetch in coalesce(wanted, _MOST_FETCHED):
                line = self._only or self._line(chunk, fetch.rows[0])
                units.setdefault(line, []).append(self._merged(chunk, value, fetch, buffers))
        for line, items in units.items():
            self._put_on(line, items, buffers)

    def _ask(self, chunk: Chunk, row: int, place: int, buffers: Buffers | None) -> None:
        """For one row, by itself."""
        line = self._only or self._line(chunk, row)
        self._put_on(line, (self._single(chunk, row, place, buffers),), buffers)

    def _single(self, chunk: Chunk, row: int, place: int, buffers: Buffers | None) -> Item:
        nbytes = chunk.nbytes[row]
        view = self._view[place : place + nbytes]
        head = chunk.heads[row * _HEAD_BYTES : (row + 1) * _HEAD_BYTES]
        number, report = chunk.number + row, chunk.report
        if chunk.writes[row]:
            return Unit(_PUT, number, nbytes, report, (row,), (), (), buffers), head, view
        return Unit(_GET, number, nbytes, report, (row,), (view,), (), buffers), head, None

    def _merged(self, chunk: Chunk, value: int, fetch: Fetch, buffers: Buffers | None) -> Item:
        assert self._place is not None
        number = chunk.number + fetch.rows[0]
        head = protocol.request(Op.GET, number, self._place.key(value), fetch.offset, fetch.nbytes)
        places = tuple(self._view[first : first + nbytes] for first, nbytes in fetch.places)
        if len(fetch.rows) > 1:
            # What crosses the wire is counted once, with the first of them.
            wire = chunk.report.rows["wire_bytes"]
            wire[_stretch(fetch.rows)] = 0
            wire[fetch.rows[0]] = fetch.nbytes + self._overhead_bytes
            self.figures.coalesced += len(fetch.rows) - 1
        return Unit(_GET, number, fetch.nbytes, chunk.report, fetch.rows, places, fetch.copies, buffers), head, None

    def _line(self, chunk: Chunk, row: int) -> Line:
        return self.lines.to(0 if chunk.servers is None else chunk.servers[row])

    def _put_on(
        self,
        line: Line,
        items: Sequence[Item],
        buffers: Buffers | None,
    ) -> None:
        """On a connection, to be sent."""
        if buffers is not None:
            buffers.used += len(items)
        if not self.lines.usable(line):
            now = self._clock()
            for unit, _, _ in items:
                self._fail(unit, errno.ECONNREFUSED, now)
            return
        if not line.busy:
            line.moved_ns = time.monotonic_ns()
        line.ask(items, bool(self._batch) and len(items) > 1)
        self.figures.requests += len(items)

    def _send(self) -> None:
        for line in self.lines.all:
            if line.out:
                try:
                    line.send()
                except Broken as broken:
                    self._break(line, broken)

    # ---- out

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        with self._busy:
            return 0 if self._closed else self._reap(out, min(at_least, len(out)), timeout_ns)

    def _reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        ended, patience = self._ended, self._patience
        began = now = time.monotonic_ns()
        # What was asked for alone and just now has hardly been answered yet: to look for it first is to look twice.
        waits = at_least > ended.count and timeout_ns > 0 and self._is_alone()
        while True:
            if self._waiting and self._free:
                # Where a connection broke, what it held has ended and nothing moved.
                self._start_waiting()
                self._send()
            if not waits and self._move():
                patience.came(now)
            else:
                left = timeout_ns - (now - began)
                if ended.count >= at_least or left <= 0:
                    break
                for line in self.lines.silent(now):
                    self._break(line, Broken(errno.ETIMEDOUT, f"it has sent nothing for {self._timeout_ns / 1e9:g} s"))
                if not patience.again(now) and not self.lines.wait(left):
                    if not self._waiting:
                        time.sleep(left / 1e9)
                    break
            if ended.count >= at_least:
                break
            waits, now = False, time.monotonic_ns()
        count = ended.take(out)
        self._accepted -= count
        return count

    def _is_alone(self) -> bool:
        """Whether one request is in flight, all of it sent, and nobody looks for its answer without sleeping."""
        line = self._only
        if line is None or self._patience.looks:
            return False
        return not line.moves and not line.out and len(line.flying) == 1

    def _move(self) -> bool:
        """Receive and send what can be; whether anything has moved."""
        moved = False
        for line in self.lines.all:
            if not line.busy:
                continue
            try:
                if line.out:
                    before = line.sent_bytes
                    line.send()
                    moved |= line.sent_bytes > before
                # A server that is asked for several at a time is woken less often.
                enough = len(line.flying) // 2
                while line.receive():
                    moved = True
                    self._answers(line)
                    if len(line.flying) <= enough:
                        break
            except Broken as broken:
                self._break(line, broken)
                moved = True
        if moved:
            if self._waiting and self._free:
                self._start_waiting()
            self._send()
        return moved

    def _answers(self, line: Line) -> None:
        now = self._clock()
        unit = line.landed()
        if unit is not None:
            self._done(unit, now)
        while (answered := line.next()) is not None:
            unit, code = answered
            if line.moves:
                now = self._clock()  # its bytes were moved just now
            if code:
                self._fail(unit, code, now)
            else:
                self._done(unit, now)
        line.moved_ns = time.monotonic_ns()

    def _done(self, unit: Unit, now: int) -> None:
        report, rows = unit.report, unit.rows
        assert report is not None
        if unit.copies:
            carry_out(unit.copies, self._bytes)
            now = self._clock()
        if len(rows) == 1:
            row = rows[0]
            report.ends[row] = now
            self._ended.add(report, row, row + 1)
            self._over(unit.buffers)
            return
        stretch = _stretch(rows)
        report.ends[stretch] = now
        if isinstance(stretch, slice):
            self._ended.add(report, stretch.start, stretch.stop)
        else:
            for row in rows:
                self._ended.add(report, row, row + 1)
        self._over(unit.buffers)

    def _fail(self, unit: Unit, code: int, now: int) -> None:
        """None of its rows counts. A key that is not there is a miss of a server that evicts."""
        if unit.report is not None:
            for row in unit.rows:
                self._fail_row(unit.report, row, code, now)
                if code == errno.ENODATA and self._evicts:
                    unit.report.rows["outcome"][row], unit.report.rows["errno"][row] = MISS, 0
            self._over(unit.buffers)

    def _fail_row(self, report: Report, row: int, code: int, now: int) -> None:
        report.fail(row, row + 1, now, code)
        report.rows["wire_bytes"][row] = 0
        self._ended.add(report, row, row + 1)

    def _over(self, buffers: object) -> None:
        if isinstance(buffers, Buffers):
            buffers.used -= 1
            if not buffers.used:
                self._free.append(buffers)

    # ---- what goes wrong, and the end

    def _break(self, line: Line, broken: Broken) -> None:
        now = self._clock()
        for unit in self.lines.broke(line, broken):
            self._fail(unit, broken.code, now)

    def close(self) -> None:
        """What is in flight is abandoned."""
        self._closed = True
        if not self._busy.acquire(timeout=1.0):
            return  # another thread is in `reap`: the sockets go with the process
        try:
            self.lines.close()
            self._waiting.clear()
            self._ended.clear()
        finally:
            self._busy.release()


def _stretch(rows: Sequence[int]) -> slice | list[int]:
    """Rows that follow on each other, as those of a batch do, are looked up at once."""
    first = rows[0]
    if isinstance(rows, range) or rows == tuple(range(first, first + len(rows))):
        return slice(first, first + len(rows))
    return list(rows)
