"""The lane of the asynchronous engines: one queue of the kernel's, whole arrays at a time, one visit to the kernel for
submit and reap together."""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kvscen.plugin import ANY_BUFFER, COMPLETION, ERROR, OK, RAW_COMPLETION, READ, WRITE, Arena, Clock, Lane, Rows
from kvscen_drivers.posix.files import Files
from kvscen_drivers.posix.places import Area

#: Up to so many operations are handled one by one: that is quicker than arrays.
_FEW = 4
#: To an idle device so many operations are handed over at a time, and then all others. It begins with the first ones
#: while the kernel still prepares those behind them; handed over together they would all wait for the last one.
_FIRST = (1, 3)
#: How long `close` waits for what is in flight.
_CLOSE_NS = 1_000_000_000


class Queue(Protocol):
    """What `uring.Ring` and `aio.Context` both are."""

    @property
    def queued(self) -> int: ...

    @property
    def fixed_files(self) -> bool: ...

    def put(
        self,
        slots: npt.NDArray[np.int64],
        writes: npt.NDArray[np.bool_] | bool,
        files: npt.NDArray[np.int32] | int,
        offsets: npt.NDArray[np.uint64],
        addresses: npt.NDArray[np.uint64],
        lengths: npt.NDArray[np.uint64],
        write_flags: int,
    ) -> None: ...

    def put_one(
        self, slot: int, write: bool, file: int, offset: int, address: int, length: int, write_flags: int
    ) -> None: ...

    def next(self, count: int) -> npt.NDArray[np.int64]: ...

    def place(self, addresses: npt.NDArray[np.uint64]) -> None: ...

    def newest(self, count: int) -> npt.NDArray[np.int64]: ...

    def enter(self, hand_over: int, wait_for: int, timeout_ns: int) -> None: ...

    def ready(self) -> int: ...

    def take(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.signedinteger]]: ...

    def take_one(self) -> tuple[int, int]: ...

    def close(self) -> None: ...


class QueueLane(Lane):
    """Operations on `queue`, which it closes: at most `depth` of them, all in flight unless `limit` says fewer.
    What `submit` accepts starts at the next `reap`.

    What cannot be done at all (another block's range, a file that is gone) never reaches the kernel: it ends as an
    error at the next `reap`. `device`: the operations go to a device that works by itself, so that it pays to hand
    over the first ones early.
    """

    def __init__(
        self, queue: Queue, files: Files, area: Area, arena: Arena, depth: int, clock: Clock, device: bool = False
    ) -> None:
        self._queue = queue
        self._files = files
        self._area = area
        self._clock = clock
        self._view = arena.view  # the kernel is told addresses: the memory must stay
        self._address = arena.address
        self._address64 = np.uint64(arena.address)
        self._arena_bytes = arena.nbytes
        self._first = _FIRST if device else ()
        # How the queue names the files that are always open.
        self._handles = np.arange(len(files.descriptors), dtype=np.int32) if queue.fixed_files else files.descriptors
        self._one_handle = int(self._handles[0]) if len(self._handles) == 1 else None
        # What a slot's operation will report if all goes well; `bytes` is what was asked for.
        self._report = np.zeros(depth, COMPLETION)
        self._report_raw = self._report.view(RAW_COMPLETION)
        self._ids, self._bytes, self._times = self._report["id"], self._report["bytes"], self._report["submit"]
        # The file that a slot's operation holds open, and whether it writes to it.
        self._held: dict[int, tuple[int, bool]] = {}
        self._refused: deque[tuple[int, int]] = deque()
        self._free = np.arange(depth)
        self._free_count = depth
        self._in_flight = 0
        self._limit, self._limited = depth, False
        # Where operations come without a buffer: the addresses that are free (those that were given back last are the
        # next to be used), and the address that each slot's operation was given.
        self._anywhere = False
        self._pool = np.zeros(0, np.uint64)
        self._pool_count = 0
        self._given = np.zeros(depth, np.uint64)
        # Completions that were seen and not yet reported: (how many in all, when) for each look.
        self._seen = 0
        self._looks: list[tuple[int, int]] = []
        self._closed = False
        self._busy = threading.Lock()

    def limit(self, in_flight: int) -> None:
        self._limit, self._limited = in_flight, True
        part = self._arena_bytes // in_flight
        self._pool = self._address64 + np.arange(in_flight, dtype=np.uint64) * np.uint64(part)
        self._pool_count = in_flight

    def submit(self, ops: Rows) -> int:
        count = min(len(ops), self._free_count)
        if not count or self._closed:
            return 0
        if count < len(ops):
            ops = ops[:count]
        self._anywhere = self._limited and int(ops["buffer"][0]) == ANY_BUFFER
        if count <= _FEW or not self._files.few:
            return self._submit_singly(ops)
        nbytes = ops["bytes"]
        if not self._area.accepts(ops, None if self._anywhere else self._arena_bytes):
            return self._submit_singly(ops)
        numbers, offsets = self._area.spots(ops)
        self._free_count -= count
        slots = self._free[self._free_count : self._free_count + count]
        self._ids[slots] = ops["id"]
        self._bytes[slots] = nbytes
        if not self._anywhere:
            self._times[slots] = self._clock()
        written = np.count_nonzero(ops["kind"])
        handle = self._one_handle if self._one_handle is not None else self._handles[numbers]
        self._queue.put(
            slots,
            written == count if written in (0, count) else ops["kind"] == WRITE,
            handle,
            offsets,
            ops["buffer"] + self._address64,
            nbytes,
            self._files.write_flags,
        )
        return count

    def _submit_singly(self, ops: Rows) -> int:
        files, flags, few = self._files, self._files.write_flags, self._files.few
        now = self._clock()
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            self._free_count -= 1
            slot = int(self._free[self._free_count])
            spot = self._area.find(key, offset, nbytes)
            # A `bytes` beyond int64 fits no block: it is refused below, and was never asked for by the core.
            self._report[slot] = (number, now, 0, min(nbytes, 2**63 - 1), 0, 0, OK, 0, 0)
            if self._anywhere:
                buffer = 0
            if spot is None or buffer + nbytes > self._arena_bytes or kind not in (READ, WRITE):
                self._refused.append((slot, errno.EINVAL))
                continue
            file, at = spot
            if few:
                handle = int(self._handles[file])
            else:
                # Opening belongs to the operation: its time runs already.
                try:
                    handle = files.acquire(file)
                except OSError as error:
                    self._refused.append((slot, error.errno or errno.EIO))
                    continue
                self._held[slot] = file, kind == WRITE
            self._queue.put_one(slot, kind == WRITE, handle, at, self._address + buffer, nbytes, flags)
        return len(ops)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        with self._busy:
            if self._closed:
                return 0
            return self._reap(out, min(at_least, len(out)), timeout_ns)

    def _reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        failed = self._take_refused(out) if self._refused else 0
        if failed:
            at_least, out = max(0, at_least - failed), out[failed:]
        if not at_least and not self._startable and self._in_flight:
            self._visit(0, 0, 0)  # only a visit to the kernel shows what has finished meanwhile
        self._run(at_least, timeout_ns)
        count = min(self._seen, len(out))
        return failed + (self._take(out[:count]) if count else 0)

    @property
    def _startable(self) -> int:
        """Operations that wait to be started, and may be."""
        return max(0, min(self._queue.queued, self._limit - self._in_flight))

    def _run(self, at_least: int, timeout_ns: int) -> None:
        """Until `at_least` completions are seen or the time is up: start what may be started, the more so as others
        end. Nothing is left startable where the kernel takes it.
        """
        left, deadline = timeout_ns, 0
        while True:
            count = self._startable
            lacking = self._seen < at_least
            if not count and not lacking:
                return
            if count > 1 and not self._in_flight:
                for part in self._first:
                    if part < count:
                        count -= self._visit(part, 0, 0)
            # The wait is for the next completion and not for all that lack: it has a time of its own, and makes room.
            started = self._visit(count, self._seen + 1 if lacking else 0, max(left, 0))
            if count and not started:
                time.sleep(100e-6)  # the kernel has no memory for a request just now
            elif self._seen >= at_least:
                continue
            now = time.monotonic_ns()
            deadline = deadline or now + timeout_ns  # the first wait is not counted: it was as long as it had to be
            left = deadline - now
            if left <= 0:
                return

    def _visit(self, count: int, wait_for: int, timeout_ns: int) -> int:
        """Start `count` operations, wait until `wait_for` completions are there, and note those that are new. Returns
        how many were started."""
        queue = self._queue
        before = queue.queued
        slots = self._give_buffers(count) if count and self._anywhere else None
        queue.enter(count, wait_for, timeout_ns)
        started = before - queue.queued
        if slots is not None and started < count:
            self._take_buffers(slots[started:])
        self._in_flight += started
        ready = queue.ready()
        if ready != self._seen:
            if self._anywhere:
                self._take_buffers(queue.newest(ready - self._seen))
            self._in_flight -= ready - self._seen
            self._seen = ready
            self._looks.append((ready, self._clock()))
        return started

    def _give_buffers(self, count: int) -> npt.NDArray[np.int64]:
        """A buffer to each of the next `count` operations, whose time begins. Returns their slots."""
        slots = self._queue.next(count)
        self._pool_count -= count
        given = self._pool[self._pool_count : self._pool_count + count]
        self._given[slots] = given
        self._times[slots] = self._clock()
        self._queue.place(given)
        return slots

    def _take_buffers(self, slots: npt.NDArray[np.int64]) -> None:
        end = self._pool_count + len(slots)
        self._pool[self._pool_count : end] = self._given[slots]
        self._pool_count = end

    def _take_refused(self, out: Rows) -> int:
        now, count = self._clock(), min(len(self._refused), len(out))
        for i in range(count):
            slot, code = self._refused.popleft()
            out[i] = (self._ids[slot], self._times[slot], now, 0, 0, code, ERROR, 0, 0)
            self._free[self._free_count] = slot
            self._free_count += 1
        return count

    def _take(self, rows: Rows) -> int:
        """The first of the completions that were seen, into all of `rows`."""
        count = len(rows)
        if count <= _FEW:
            self._take_few(rows)
        else:
            self._take_many(rows)
        self._seen -= count
        self._looks = [(total - count, when) for total, when in self._looks if total > count]
        return count

    def _take_many(self, rows: Rows) -> None:
        count = len(rows)
        slots, moved = self._queue.take(count)
        rows.view(RAW_COMPLETION)[:] = self._report_raw[slots]
        ends, first = rows["end"], 0
        for total, when in self._looks:
            ends[first:total] = when
            first = total
        wrong = moved != rows["bytes"]
        if np.count_nonzero(wrong):
            failed = np.flatnonzero(wrong)
            result = moved[failed]
            rows["outcome"][failed] = ERROR
            rows["errno"][failed] = np.where(result < 0, -result, errno.EIO)
            rows["bytes"][failed] = np.maximum(result, 0)
        if self._held:
            for slot in slots.tolist():
                self._let_go(slot)
        self._free[self._free_count : self._free_count + count] = slots
        self._free_count += count

    def _take_few(self, rows: Rows) -> None:
        looks = iter(self._looks)
        total, when = next(looks)
        for i in range(len(rows)):
            while total <= i:
                total, when = next(looks)
            slot, moved = self._queue.take_one()
            number, submitted, _, nbytes, *_ = self._report[slot].item()
            code = 0 if moved == nbytes else -moved if moved < 0 else errno.EIO
            rows[i] = (number, submitted, when, max(moved, 0), 0, code, ERROR if code else OK, 0, 0)
            if self._held:
                self._let_go(slot)
            self._free[self._free_count] = slot
            self._free_count += 1

    def _let_go(self, slot: int) -> None:
        held = self._held.pop(slot, None)
        if held is not None:
            self._files.release(*held)

    def close(self) -> None:
        """Waits a second for what is in flight. What hangs longer is abandoned; the kernel keeps its buffers pinned."""
        if self._closed:
            return
        if not self._busy.acquire(timeout=_CLOSE_NS / 1e9):
            self._closed = True  # another thread hangs in the queue: it goes with the process
            return
        try:
            self._closed = True
            self._limit = 0  # nothing more is started
            deadline = time.monotonic_ns() + _CLOSE_NS
            while self._in_flight and (left := deadline - time.monotonic_ns()) > 0:
                self._run(self._seen + 1, left)
            self._queue.close()
        finally:
            self._busy.release()
