"""The lane of `mode = stream`: cuFileReadAsync and cuFileWriteAsync, on CUDA streams.

cuFile reads the parameters of an operation when its turn on the stream has come, and puts what it moved beside them:
each operation in flight has a row of a table to itself until the event behind it has passed.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from kvscen.plugin import ERROR, OK, READ, Arena, Clock, Histogram, Lane, Rows, Unavailable
from kvscen_drivers.gds.cufile import CuFile, explain
from kvscen_drivers.gds.lanes import CLOSE_S, Figures, File, Row, Teller
from kvscen_drivers.gpu.cuda import Gpu, calling
from kvscen_drivers.gpu.streams import Streams, Times

_PARAMETERS = np.dtype([("bytes", "<u8"), ("file_offset", "<i8"), ("buffer_offset", "<i8"), ("moved", "<i8")])
_BYTES, _FILE_OFFSET, _BUFFER_OFFSET, _MOVED = (_PARAMETERS.fields[name][1] for name in _PARAMETERS.names)  # type: ignore[index,union-attr]
#: cuFileStreamRegister: offsets and size are known at submission (1, 2, 4), and are multiples of 4 KiB (8).
_FIXED, _PAGE_ALIGNED = 7, 8


class _Flying(NamedTuple):
    number: int
    begun_ns: int
    nbytes: int
    posted_ns: int


class StreamLane(Lane):
    """`streams` operations run at once, at most: those of a stream run one after the other."""

    def __init__(
        self,
        cufile: CuFile,
        gpu: Gpu,
        file: File,
        arena: Arena,
        depth: int,
        clock: Clock,
        *,
        streams: int,
        page_aligned: bool,
    ) -> None:
        """`page_aligned`: all offsets and lengths are multiples of 4 KiB. Raises Unavailable where cuFile has no stream
        calls here."""
        self._cufile, self._gpu, self._file, self._clock = cufile, gpu, file, clock
        self._address, self._arena_bytes, self._depth = arena.address, arena.nbytes, depth
        self._table = np.zeros(depth, _PARAMETERS)
        self._moved = self._table["moved"]
        self._free = list(range(depth))
        #: By the row of the table.
        self._flying: dict[int, _Flying] = {}
        self._done: deque[Row] = deque()
        self.figures = Figures()
        self._tell = Teller()
        self._busy = threading.Lock()
        self._closed = False
        gpu.enter()
        self._streams = Streams(gpu, streams)
        self._registered: list[int] = []
        try:
            for stream in self._streams.all:
                cufile.api.stream_register(int(stream), _FIXED | (_PAGE_ALIGNED if page_aligned else 0))
                self._registered.append(int(stream))
        except Exception as error:  # the bindings have errors of their own
            self.close()
            raise Unavailable(
                f"cuFile has no stream calls here: {error}",
                "load the nvidia module with NVreg_EnableStreamMemOPs=1, or use `mode = batch` or `mode = sync`",
            ) from error

    @property
    def times(self) -> Histogram:
        """How long operations took on their streams."""
        return self._streams.times.histogram

    def reset(self) -> None:
        self.figures, self._streams.times = Figures(), Times()

    # ---- in

    def submit(self, ops: Rows) -> int:
        with self._busy:
            count = min(len(ops), self._depth - len(self._flying) - len(self._done))
            if count <= 0 or self._closed:
                return 0
            calling(self._gpu, self._gpu.enter)
            for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops[:count].tolist():
                self._start(number, key, offset, nbytes, buffer, kind)
            return count

    def _start(self, number: int, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> None:
        begun = self._clock()
        at = self._file.at(key, offset, nbytes, kind)
        if at < 0 or buffer + nbytes > self._arena_bytes:
            self._done.append((number, begun, begun, 0, 0, -at if at < 0 else errno.EINVAL, ERROR, 0, 0))
            return
        slot = self._free.pop()
        self._table[slot] = nbytes, at, buffer, 0
        row = self._table.ctypes.data + slot * _PARAMETERS.itemsize
        stream = self._streams.begin()
        made = self._clock()
        call = self._cufile.api.read_async if kind == READ else self._cufile.api.write_async
        try:
            call(
                self._file.handle,
                self._address,
                row + _BYTES,
                row + _FILE_OFFSET,
                row + _BUFFER_OFFSET,
                row + _MOVED,
                int(stream),
            )
        except Exception as error:  # the bindings have errors of their own
            self._streams.give_up()
            self._free.append(slot)
            self._tell(f"cuFile refuses an operation: {error}")
            self._done.append((number, begun, self._clock(), 0, 0, errno.EIO, ERROR, 0, 0))
            return
        self._streams.end(slot)
        posted = self._clock()
        self._flying[slot] = _Flying(number, begun, nbytes, posted)
        figures = self.figures
        figures.submissions += 1
        figures.making_ns += made - begun
        figures.posting_ns += posted - made

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
            for slot in self._streams.ended() if self._flying else ():
                self._finish(slot)
            left = timeout_ns - (time.monotonic_ns() - began)
            if len(self._done) >= at_least or left <= 0:
                return
            if not self._flying:
                time.sleep(left / 1e9)
                return

    def _finish(self, slot: int) -> None:
        now, moved = self._clock(), int(self._moved[slot])
        number, begun, nbytes, posted = self._flying.pop(slot)
        self._free.append(slot)
        self.figures.operations += 1
        self.figures.moving_ns += now - posted
        if moved == nbytes:
            self._done.append((number, begun, now, nbytes, 0, 0, OK, 0, 0))
            return
        self._tell(f"an operation ended with {explain(self._cufile.api, moved)} of {nbytes} bytes")
        self._done.append((number, begun, now, moved if 0 < moved < nbytes else 0, 0, errno.EIO, ERROR, 0, 0))

    # ---- the end

    def close(self) -> None:
        """Waits a second for what is in flight; what hangs longer is left behind and goes with the process."""
        if self._closed or not self._busy.acquire(timeout=CLOSE_S):
            self._closed = True
            return
        try:
            self._closed = True
            with contextlib.suppress(Exception):  # of a GPU that was lost
                self._gpu.enter()
                self._streams.close(self._deregister)
        finally:
            self._busy.release()

    def _deregister(self) -> None:
        """Before the streams go, as cuFile asks for."""
        for stream in self._registered:
            with contextlib.suppress(Exception):
                self._cufile.api.stream_deregister(stream)
        self._registered.clear()
