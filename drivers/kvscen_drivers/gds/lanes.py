"""The lanes: cuFileRead and cuFileWrite on threads, or cuFile's batches."""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections import deque
from typing import Any, NamedTuple, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import ERROR, OK, READ, WRITE, Arena, Clock, Lane, Layout, Rows, ThreadLane
from kvscen_drivers.gds.clamp import DEFAULT_BATCH
from kvscen_drivers.gds.cufile import BATCH, COMPLETE, PENDING, WAITING, CuFile, failed
from kvscen_drivers.gpu.cuda import Gpu, calling

# Never without a limit: a wait that is not told when to end does not see that the load has ended.
_WAIT_NS = 1_000_000
# While several batches are busy, how long we wait for one before we look at the next.
_SLICE_NS = 50_000
CLOSE_S = 1.0
_log = logging.getLogger("kvscen.driver")

Row: TypeAlias = "tuple[int, int, int, int, int, int, int, int, int]"
#: An operation's id, its bytes, its kind, and (base, byte of the file, byte of the buffer, bytes).
_Entry: TypeAlias = "tuple[int, int, int, tuple[int, int, int, int]]"


@attrs.define
class File:
    """Where the blocks are: a file's handle, and which part of it is this worker's."""

    handle: int
    layout: Layout

    def at(self, key: int, offset: int, nbytes: int, kind: int) -> int:
        """The byte of the file where a range of a block begins; less than 0, a negative errno, where there is none."""
        layout = self.layout
        if not 0 <= key - layout.first_key < layout.keys or offset + nbytes > layout.stride_bytes:
            return -errno.EINVAL
        return key * layout.stride_bytes + offset if kind in (READ, WRITE) else -errno.EOPNOTSUPP


class SyncLane(ThreadLane):
    """A thread for each operation in flight."""

    def __init__(self, cufile: CuFile, gpu: Gpu, file: File, arena: Arena, depth: int, threads: int, clock: Clock):
        self._cufile, self._gpu, self._file, self._arena = cufile, gpu, file, arena
        self._address = arena.address
        super().__init__(self, arena, depth, clock, threads)

    def transfer(self, op: np.void, view: npt.NDArray[np.uint8]) -> int:
        _, key, offset, nbytes, buffer, _, _, _, kind, _ = op.item()
        at = self._file.at(key, offset, nbytes, kind)
        if at < 0 or buffer + nbytes > self._arena.nbytes:
            raise OSError(-at if at < 0 else errno.EINVAL, "outside the layout or the arena")
        self._gpu.enter()
        api = self._cufile.api
        call = api.read if kind == READ else api.write
        moved = int(call(self._file.handle, self._address, nbytes, at, buffer))
        if moved < 0:
            raise failed(moved)
        return moved


class Teller:
    """Says a thing of a lane once, in the worker's log."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, what: str) -> None:
        if not self._told:
            self._told = True
            _log.error("%s (further ones are only counted)", what)


@attrs.define
class Figures:
    """What happened since the trial's beginning: numbers of calls, and times in ns."""

    submissions: int = 0
    operations: int = 0
    making_ns: int = 0
    posting_ns: int = 0
    moving_ns: int = 0


@attrs.define(eq=False)
class _Batch:
    """One of cuFile's, with the slots of it that are free."""

    handle: int
    free: list[int]
    flying: int = 0


class _Flying(NamedTuple):
    """`params` are kept as long as one of them is in flight: nobody says how long cuFile looks at them."""

    number: int
    begun_ns: int
    nbytes: int
    posted_ns: int
    batch: _Batch
    params: Any


class BatchLane(Lane):
    """Batches of cuFile's, refilled as their entries end: one, or as many as `depth` takes of those that its
    configuration allows. What is submitted together goes in one call, as far as there is room in one batch."""

    def __init__(self, cufile: CuFile, gpu: Gpu, file: File, arena: Arena, depth: int, clock: Clock) -> None:
        """Raises cuFile's own error where it makes no batch."""
        self._cufile, self._gpu, self._file, self._clock = cufile, gpu, file, clock
        self._arena_bytes, self._depth = arena.nbytes, depth
        api = cufile.api
        self._address = arena.address
        self._events = np.zeros(depth, api.io_events_dtype)
        self._number = np.zeros(1, np.uint32)
        self._timeout = np.zeros(2, np.int64)
        #: By the slot that an operation has while it is in flight, which is its cookie.
        self._flying: dict[int, _Flying] = {}
        self._done: deque[Row] = deque()
        self.figures = Figures()
        self._busy = threading.Lock()
        self._closed = False
        self._tell = Teller()
        gpu.enter()
        room = cufile.configuration.batch or DEFAULT_BATCH
        self._batches: list[_Batch] = []
        try:
            for first in range(0, depth, room):
                count = min(room, depth - first)
                slots = list(range(first, first + count))
                self._batches.append(_Batch(int(api.batch_io_set_up(count)), slots))
        except BaseException:
            self.close()
            raise
        self._turn = 0

    def reset(self) -> None:
        self.figures = Figures()

    # ---- in

    def submit(self, ops: Rows) -> int:
        with self._busy:
            if self._closed:
                return 0
            calling(self._gpu, self._gpu.enter)
            return self._submit(ops[: max(0, self._depth - len(self._flying) - len(self._done))])

    def _submit(self, ops: Rows) -> int:
        begun = self._clock()
        file, arena_bytes = self._file, self._arena_bytes
        entries: list[_Entry] = []
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            at = file.at(key, offset, nbytes, kind)
            if at < 0 or buffer + nbytes > arena_bytes:
                self._done.append((number, begun, begun, 0, 0, -at if at < 0 else errno.EINVAL, ERROR, 0, 0))
            else:
                entries.append((number, nbytes, kind, (self._address, at, buffer, nbytes)))
        while entries:
            batch = max(self._batches, key=lambda each: len(each.free))
            count = min(len(entries), len(batch.free))
            self._post(batch, entries[:count], begun)
            del entries[:count]
            begun = self._clock()
        return len(ops)

    def _post(self, batch: _Batch, entries: list[_Entry], begun: int) -> None:
        count = len(entries)
        slots = [batch.free.pop() for _ in entries]
        params = np.zeros(count, self._cufile.api.io_params_dtype)
        params["mode"], params["fh"] = BATCH, self._file.handle
        params["u"]["batch"] = [place for _, _, _, place in entries]
        params["opcode"] = [kind for _, _, kind, _ in entries]
        params["cookie"] = slots
        made = self._clock()
        try:
            self._cufile.api.batch_io_submit(batch.handle, count, params.ctypes.data, 0)
        except Exception as error:  # the bindings have errors of their own
            self._tell(f"cuFile refuses a submission of {count} operations: {error}")
            now = self._clock()
            batch.free += slots
            self._done += [(number, begun, now, 0, 0, errno.EIO, ERROR, 0, 0) for number, _, _, _ in entries]
            return
        posted = self._clock()
        batch.flying += count
        for slot, (number, nbytes, _, _) in zip(slots, entries, strict=True):
            self._flying[slot] = _Flying(number, begun, nbytes, posted, batch, params)
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
            left = timeout_ns - (time.monotonic_ns() - began)
            wanted = at_least - len(self._done)
            if self._flying:
                self._look(min(max(wanted, 0), len(self._flying)), max(0, min(left, _WAIT_NS)))
            elif wanted > 0 and left > 0:
                time.sleep(left / 1e9)
            if len(self._done) >= at_least or time.monotonic_ns() - began >= timeout_ns:
                return

    def _look(self, at_least: int, timeout_ns: int) -> None:
        busy = [batch for batch in self._batches if batch.flying]
        if len(busy) == 1:
            self._ask(busy[0], at_least, timeout_ns)
            return
        before = len(self._done)
        for batch in busy:
            self._ask(batch, 0, 0)
        if at_least and timeout_ns and len(self._done) == before:
            self._turn += 1
            batch = busy[self._turn % len(busy)]
            self._ask(batch, min(1, batch.flying), min(timeout_ns, _SLICE_NS))

    def _ask(self, batch: _Batch, at_least: int, timeout_ns: int) -> None:
        """What has ended of a batch."""
        self._number[0] = batch.flying
        self._timeout[1] = timeout_ns
        try:
            self._cufile.api.batch_io_get_status(
                batch.handle, at_least, self._number.ctypes.data, self._events.ctypes.data, self._timeout.ctypes.data
            )
        except Exception as error:
            self._lose(batch, error)
            return
        count = int(self._number[0])
        if not count:
            return
        now = self._clock()
        for cookie, status, result in self._events[:count].tolist():
            if status in (WAITING, PENDING):
                continue
            flown = self._flying.pop(cookie)
            batch.free.append(cookie)
            batch.flying -= 1
            number, begun, nbytes = flown.number, flown.begun_ns, flown.nbytes
            self.figures.operations += 1
            self.figures.moving_ns += now - flown.posted_ns
            if status == COMPLETE and result == nbytes:
                self._done.append((number, begun, now, nbytes, 0, 0, OK, 0, 0))
                continue
            moved = result if status == COMPLETE and result < nbytes else 0
            self._tell(f"an operation ended with status {status} and {result} of {nbytes} bytes")
            self._done.append((number, begun, now, moved, 0, errno.EIO, ERROR, 0, 0))

    def _lose(self, batch: _Batch, error: Exception) -> None:
        """Nobody knows what became of what is in flight: all of it failed."""
        self._tell(f"cuFile does not say what has ended: {error}")
        now = self._clock()
        for slot in [slot for slot, flown in self._flying.items() if flown.batch is batch]:
            flown = self._flying.pop(slot)
            batch.free.append(slot)
            self._done.append((flown.number, flown.begun_ns, now, 0, 0, errno.EIO, ERROR, 0, 0))
        batch.flying = 0

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
                deadline = time.monotonic() + CLOSE_S
                while self._flying and time.monotonic() < deadline:
                    self._look(1, _WAIT_NS)
                for batch in self._batches:
                    if not batch.flying:
                        self._cufile.api.batch_io_destroy(batch.handle)
        finally:
            self._busy.release()
