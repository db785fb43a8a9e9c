"""The lane of the engine `io_uring`: one ring, every step on whole arrays, one system call for a round of submit and reap."""

from __future__ import annotations

import errno
import threading
import time

import numpy as np

from kvscen.plugin import COMPLETION, ERROR, READ, WRITE, Arena, Clock, Lane, Rows
from kvscen_drivers.posix.layout import Area
from kvscen_drivers.posix.uring import OP_INVALID, OP_READ, OP_WRITE, Ring

#: The ring's opcode for each kind of operation; anything but a read or a write is refused by the kernel.
_OPCODES = np.full(256, OP_INVALID, np.uint8)
_OPCODES[READ], _OPCODES[WRITE] = OP_READ, OP_WRITE

#: How long `close` waits for what is in flight.
_CLOSE_NS = 1_000_000_000


class UringLane(Lane):
    """At most `depth` operations in flight on the file `fd`. What `submit` accepts starts at the next `reap`.

    Raises OSError where the kernel does not give a ring.
    """

    def __init__(self, fd: int, area: Area, arena: Arena, depth: int, clock: Clock) -> None:
        self._ring = Ring(depth)
        self._ring.sqes["fd"] = fd
        self._area = area
        self._clock = clock
        self._address = np.uint64(arena.address)
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
        sqes["address"][slots] = ops["buffer"] + self._address
        sqes["length"][slots] = nbytes
        report["id"][slots] = ops["id"]
        report["bytes"][slots] = nbytes
        report["submit"][slots] = self._clock()
        self._ring.queue(slots)
        return count

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

    def close(self) -> None:
        """Waits a second for what is in flight; what hangs longer is abandoned, its buffers stay pinned in the kernel."""
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
