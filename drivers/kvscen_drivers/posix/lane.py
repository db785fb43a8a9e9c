"""The lane of the engine `io_uring`: one ring, whole arrays at a time, one system call for submit and reap together."""

from __future__ import annotations

import errno
import threading
import time

import numpy as np

from kvscen.plugin import COMPLETION, ERROR, OK, READ, WRITE, Arena, Clock, Lane, Rows
from kvscen_drivers.posix.layout import Area
from kvscen_drivers.posix.uring import OP_INVALID, OP_READ, OP_WRITE, Ring

#: The ring's opcode for each kind of operation; anything but a read or a write is refused by the kernel.
_OPCODES = np.full(256, OP_INVALID, np.uint8)
_OPCODES[READ], _OPCODES[WRITE] = OP_READ, OP_WRITE
_OPCODE = _OPCODES.tolist()
#: Up to so many operations are handled one by one: that is quicker than arrays.
_FEW = 4

#: How long `close` waits for what is in flight.
_CLOSE_NS = 1_000_000_000


class UringLane(Lane):
    """At most `depth` operations in flight on the file `fd`. What `submit` accepts starts at the next `reap`.

    Raises OSError where the kernel does not give a ring.
    """

    def __init__(self, fd: int, area: Area, arena: Arena, depth: int, clock: Clock) -> None:
        self._ring = Ring(depth)
        self._ring.sqes["fd"] = fd
        self._fd = fd
        self._area = area
        self._clock = clock
        self._address = arena.address
        self._arena_bytes = arena.nbytes
        # What a slot's operation will report if all goes well; `bytes` is what was asked for.
        self._report = np.zeros(depth, COMPLETION)
        self._free = np.arange(depth)
        self._free_count = depth
        self._closed = False
        self._busy = threading.Lock()

    def submit(self, ops: Rows) -> int:
        count = min(len(ops), self._free_count)
        if not count or self._closed:
            return 0
        ops = ops[:count]
        if count <= _FEW:
            return self._submit_few(ops)
        self._free_count -= count
        slots = self._free[self._free_count : self._free_count + count].copy()
        sqes, report = self._ring.sqes, self._report
        nbytes = ops["bytes"]
        opcodes = _OPCODES[ops["kind"]]
        wrong = self._area.refuses(ops, self._arena_bytes)
        if wrong.any():
            opcodes[wrong] = OP_INVALID
        sqes["opcode"][slots] = opcodes
        sqes["offset"][slots] = self._area.offset(ops)
        sqes["address"][slots] = ops["buffer"] + np.uint64(self._address)
        sqes["length"][slots] = nbytes
        report["id"][slots] = ops["id"]
        report["bytes"][slots] = nbytes
        report["submit"][slots] = self._clock()
        self._ring.queue(slots)
        return count

    def _submit_few(self, ops: Rows) -> int:
        now = self._clock()
        for op in ops:
            self._free_count -= 1
            slot = int(self._free[self._free_count])
            number, key, offset, nbytes, buffer, _, _, _, kind, _ = op.item()
            at = self._area.find(key, offset, nbytes)
            self._report[slot] = (number, now, 0, nbytes, 0, 0, OK, 0, 0)
            if at is None or buffer + nbytes > self._arena_bytes:
                self._ring.queue_one(slot, OP_INVALID, self._fd, 0, 0, 0)
            else:
                self._ring.queue_one(slot, _OPCODE[kind], self._fd, at, self._address + buffer, nbytes)
        return len(ops)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        with self._busy:
            if self._closed:
                return 0
            return self._reap(out, min(at_least, len(out)), timeout_ns)

    def _reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        ring, left = self._ring, timeout_ns
        deadline = time.monotonic_ns() + timeout_ns
        while ring.queued or ring.ready() < at_least:
            queued = ring.queued
            ring.enter(at_least, max(left, 0))
            if queued and ring.queued == queued:
                time.sleep(100e-6)  # the kernel has no memory for a request just now
            left = deadline - time.monotonic_ns()
            if left <= 0 or ring.ready() >= at_least:
                break
        count = min(ring.ready(), len(out))
        return self._take(out[:count]) if count else 0

    def _take(self, rows: Rows) -> int:
        now, count = self._clock(), len(rows)
        if count <= _FEW:
            return self._take_few(rows, now)
        done = self._ring.take(count)
        slots, moved = done["user_data"].astype(np.int64), done["result"]
        rows[:] = self._report[slots]
        rows["end"] = now
        failed = np.flatnonzero(moved != rows["bytes"])
        if len(failed):
            result = moved[failed]
            rows["outcome"][failed] = ERROR
            rows["errno"][failed] = np.where(result < 0, -result, errno.EIO)
            rows["bytes"][failed] = np.maximum(result, 0)
        self._free[self._free_count : self._free_count + count] = slots
        self._free_count += count
        return count

    def _take_few(self, rows: Rows, now: int) -> int:
        for i in range(len(rows)):
            slot, moved = self._ring.take_one()
            number, submitted, _, nbytes, *_ = self._report[slot].item()
            code = 0 if moved == nbytes else -moved if moved < 0 else errno.EIO
            rows[i] = (number, submitted, now, max(moved, 0), 0, code, ERROR if code else OK, 0, 0)
            self._free[self._free_count] = slot
            self._free_count += 1
        return len(rows)

    def close(self) -> None:
        """Waits a second for what is in flight. What hangs longer is abandoned; the kernel keeps its buffers pinned."""
        if self._closed:
            return
        if not self._busy.acquire(timeout=_CLOSE_NS / 1e9):
            self._closed = True  # another thread hangs in the ring: it goes with the process
            return
        try:
            self._closed = True
            out = np.zeros(len(self._free), COMPLETION)
            deadline = time.monotonic_ns() + _CLOSE_NS
            while self._free_count < len(self._free) and (left := deadline - time.monotonic_ns()) > 0:
                self._reap(out, 1, left)
            self._ring.close()
        finally:
            self._busy.release()
