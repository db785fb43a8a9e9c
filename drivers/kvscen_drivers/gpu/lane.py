"""The lane: each operation is a copy on one of its streams, between two events that time it on the GPU.

A stream does its copies one after the other, so that only the oldest of each need be looked at. The end of a copy is
when the lane sees it, as a user of CUDA would; between its two events lies what the GPU itself needed for it. Waiting
is looking again and again: the bindings let go of the interpreter in each call.
"""

from __future__ import annotations

import array
import contextlib
import errno
import itertools
import threading
import time
from collections import deque
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from kvscen.plugin import ANY_BUFFER, ERROR, OK, READ, WRITE, Arena, Clock, Histogram, Lane, Rows
from kvscen_drivers.gpu.blocks import Blocks
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling, lost

_NOT_READY = 600
_CLOSE_S = 1.0
# Times on the GPU are put into the histogram so many at once.
_PORTION = 4096

#: One row of COMPLETION.
_Row: TypeAlias = "tuple[int, int, int, int, int, int, int, int, int]"


class _Copy(NamedTuple):
    """A copy in flight. `buffer` is where its buffer begins, where the lane gave it one."""

    number: int
    submitted_ns: int
    nbytes: int
    begin: Any
    end: Any
    buffer: int | None


class GpuLane(Lane):
    def __init__(self, gpu: Gpu, blocks: Blocks, arena: Arena, depth: int, streams: int, clock: Clock) -> None:
        """`streams` copies run on the GPU at once, at most. Pins the arena where nobody has. Raises DriverError."""
        self._gpu, self._blocks, self._clock = gpu, blocks, clock
        self._depth = depth
        self._address, self._arena_bytes = arena.address, arena.nbytes
        self._pinned_here = bool(len(arena.view)) and gpu.pin(arena.address, arena.nbytes)
        self._streams = [calling(gpu, gpu.stream) for _ in range(streams)]
        self._lines: list[deque[_Copy]] = [deque() for _ in self._streams]
        self._turn = itertools.cycle(zip(self._streams, self._lines, strict=True))
        self._events: list[Any] = []
        self._made: list[Any] = []
        self._done: deque[_Row] = deque()
        self._flying = 0
        # Where it is limited: where in the arena the buffers are that are free; the last one is used next.
        self._pool: list[int] = []
        self._waiting: deque[tuple[int, ...]] = deque()
        self._busy = threading.Lock()
        self._closed = False
        self._portion = array.array("f")
        self._copies = Histogram()

    def reset(self) -> None:
        """Forget how long copies took."""
        self._portion, self._copies = array.array("f"), Histogram()

    @property
    def copies(self) -> Histogram:
        """How long each copy took on the GPU."""
        if self._portion:
            times = np.rint(np.frombuffer(self._portion, np.float32).astype(np.float64) * 1e6)
            self._copies.add(times.astype(np.int64))
            self._portion = array.array("f")
        return self._copies

    def limit(self, in_flight: int) -> None:
        part = self._arena_bytes // in_flight
        self._pool = [i * part for i in reversed(range(in_flight))]

    # ---- in

    def submit(self, ops: Rows) -> int:
        with self._busy:
            count = min(len(ops), self._depth - self._flying - len(self._waiting) - len(self._done))
            if count <= 0 or self._closed:
                return 0
            calling(self._gpu, self._gpu.enter)
            for op in ops[:count].tolist():
                if op[4] == ANY_BUFFER:
                    self._waiting.append(op)
                else:
                    self._start(op, None)
            return count

    def _start(self, op: tuple[Any, ...], buffer: int | None) -> None:
        number, key, offset, nbytes, at, _, _, _, kind, _ = op
        if buffer is not None:
            at = buffer
        submitted = self._clock()
        place = self._blocks.find(key, offset, nbytes, kind)
        if place < 0 or at + nbytes > self._arena_bytes:
            code = -place if place < 0 else errno.EINVAL
            self._done.append((number, submitted, self._clock(), 0, 0, code, ERROR, 0, 0))
            if buffer is not None:
                self._pool.append(buffer)
            return
        here = self._address + at
        target, source = (here, place) if kind == READ else (place, here)
        events, api = self._events, self._gpu.api
        begin = events.pop() if events else self._event()
        end = events.pop() if events else self._event()
        stream, line = next(self._turn)
        (failed,) = api.cuEventRecord(begin, stream)
        if not failed:
            (failed,) = api.cuMemcpyAsync(target, source, nbytes, stream)
        if not failed:
            (failed,) = api.cuEventRecord(end, stream)
        if failed:
            raise lost(self._gpu, self._gpu.error("a copy", failed))
        line.append(_Copy(number, submitted, nbytes, begin, end, buffer))
        self._flying += 1
        if kind == WRITE:
            self._blocks.written(key)

    def _event(self) -> Any:
        event = calling(self._gpu, self._gpu.event)
        self._made.append(event)
        return event

    # ---- out

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        with self._busy:
            if self._closed:
                return 0
            calling(self._gpu, self._gpu.enter)
            self._wait(min(at_least, len(out)), timeout_ns)
            done = self._done
            count = min(len(done), len(out))
            if count:
                out[:count] = [done.popleft() for _ in range(count)]
            return count

    def _wait(self, at_least: int, timeout_ns: int) -> None:
        began = time.monotonic_ns()
        while True:
            if self._flying:
                self._look()
            while self._waiting and self._pool:
                self._start(self._waiting.popleft(), self._pool.pop())
            if len(self._done) >= at_least:
                return
            waited = time.monotonic_ns() - began
            if waited >= timeout_ns:
                return
            if not self._flying:
                time.sleep((timeout_ns - waited) / 1e9)
                return

    def _look(self) -> None:
        """At the oldest copy of each stream, and at the next one where it has ended."""
        query = self._gpu.api.cuEventQuery
        for line in self._lines:
            while line:
                (status,) = query(line[0].end)
                if status:
                    if int(status) == _NOT_READY:
                        break
                    raise lost(self._gpu, self._gpu.error("a copy", status))
                self._finish(line.popleft())

    def _finish(self, copy: _Copy) -> None:
        now = self._clock()
        failed, took_ms = self._gpu.api.cuEventElapsedTime(copy.begin, copy.end)
        if failed:
            raise lost(self._gpu, self._gpu.error("cuEventElapsedTime", failed))
        self._flying -= 1
        self._events += (copy.begin, copy.end)
        if copy.buffer is not None:
            self._pool.append(copy.buffer)
        self._portion.append(took_ms)
        if len(self._portion) >= _PORTION:
            _ = self.copies
        self._done.append((copy.number, copy.submitted_ns, now, copy.nbytes, 0, 0, OK, 0, 0))

    # ---- the end

    def close(self) -> None:
        """Waits a second for what is in flight; what hangs longer is left behind and goes with the process."""
        if self._closed or not self._busy.acquire(timeout=_CLOSE_S):
            self._closed = True
            return
        try:
            self._closed = True
            with contextlib.suppress(CudaError):  # of a GPU that was lost
                self._gpu.enter()
                deadline = time.monotonic() + _CLOSE_S
                while any(self._lines) and time.monotonic() < deadline:
                    self._drain()
                if not any(self._lines):
                    self._gpu.drop(self._streams, self._made)
                    if self._pinned_here:
                        self._gpu.unpin(self._address)
        finally:
            self._busy.release()

    def _drain(self) -> None:
        for line in self._lines:
            while line:
                (status,) = self._gpu.api.cuEventQuery(line[0].end)
                if int(status) == _NOT_READY:
                    break
                if status:
                    raise self._gpu.error("a copy", status)
                line.popleft()
