"""The lane: each operation is a copy on one of its streams. The end of a copy is when the lane sees it.

Waiting is looking again and again: the bindings let go of the interpreter in each call.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import deque
from typing import Any, NamedTuple, TypeAlias

from kvscen.plugin import ANY_BUFFER, ERROR, OK, READ, WRITE, Arena, Clock, Histogram, Lane, Rows
from kvscen_drivers.gpu.blocks import Blocks
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling, lost
from kvscen_drivers.gpu.streams import Streams, Times

_CLOSE_S = 1.0

#: One row of COMPLETION.
_Row: TypeAlias = "tuple[int, int, int, int, int, int, int, int, int]"


class _Copy(NamedTuple):
    """A copy in flight. `buffer` is where its buffer begins, where the lane gave it one."""

    number: int
    submitted_ns: int
    nbytes: int
    buffer: int | None


class GpuLane(Lane):
    def __init__(self, gpu: Gpu, blocks: Blocks, arena: Arena, depth: int, streams: int, clock: Clock) -> None:
        """`streams` copies run on the GPU at once, at most. Pins the arena where nobody has. Raises DriverError."""
        self._gpu, self._blocks, self._clock = gpu, blocks, clock
        self._depth = depth
        self._address, self._arena_bytes = arena.address, arena.nbytes
        self._pinned_here = bool(len(arena.view)) and gpu.pin(arena.address, arena.nbytes)
        self._streams = Streams(gpu, streams)
        self._done: deque[_Row] = deque()
        # Where it is limited: where in the arena the buffers are that are free; the last one is used next.
        self._pool: list[int] = []
        self._waiting: deque[tuple[int, ...]] = deque()
        self._busy = threading.Lock()
        self._closed = False

    def reset(self) -> None:
        """Forget how long copies took."""
        self._streams.times = Times()

    @property
    def copies(self) -> Histogram:
        """How long each copy took on the GPU."""
        return self._streams.times.histogram

    def limit(self, in_flight: int) -> None:
        part = self._arena_bytes // in_flight
        self._pool = [i * part for i in reversed(range(in_flight))]

    # ---- in

    def submit(self, ops: Rows) -> int:
        with self._busy:
            count = min(len(ops), self._depth - self._streams.flying - len(self._waiting) - len(self._done))
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
        (failed,) = self._gpu.api.cuMemcpyAsync(target, source, nbytes, self._streams.begin())
        if failed:
            raise lost(self._gpu, self._gpu.error("a copy", failed))
        self._streams.end(_Copy(number, submitted, nbytes, buffer))
        if kind == WRITE:
            self._blocks.written(key)

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
            if self._streams.flying:
                self._look()
            while self._waiting and self._pool:
                self._start(self._waiting.popleft(), self._pool.pop())
            if len(self._done) >= at_least:
                return
            waited = time.monotonic_ns() - began
            if waited >= timeout_ns:
                return
            if not self._streams.flying:
                time.sleep((timeout_ns - waited) / 1e9)
                return

    def _look(self) -> None:
        for copy in self._streams.ended():
            if copy.buffer is not None:
                self._pool.append(copy.buffer)
            self._done.append((copy.number, copy.submitted_ns, self._clock(), copy.nbytes, 0, 0, OK, 0, 0))

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
                if self._streams.close() and self._pinned_here:
                    self._gpu.unpin(self._address)
        finally:
            self._busy.release()
