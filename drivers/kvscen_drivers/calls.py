"""A lane for a client library whose calls move several blocks at once and return when all have ended: its thread gives
it what waits in one call, reads and writes apart, as engines do."""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import attrs

from kvscen.plugin import ERROR, OK, READ, WRITE, Arena, Clock, Lane, Lost, Rows

_CLOSE_S = 1.0
_REMEDY = "see whether its servers run"
#: Memory that calls may still write to which never ended.
_left_behind: list[object] = []

_Row = tuple[int, int, int, int, int, int, int, int, int]
#: id, when it was submitted, key, address, bytes, is it a write?
_Job = tuple[int, int, int, int, int, bool]


@attrs.frozen
class Failed:
    """An operation that failed. `lost`: of this call, bytes may still come into buffers, or the store is gone."""

    errno: int
    said: str
    lost: bool = False


#: Moves blocks between keys, by name, and addresses: (write?, names, addresses, bytes). Of each None, or how it failed.
Move = Callable[[bool, Sequence[str], Sequence[int], Sequence[int]], Sequence[Failed | None]]


class CallLane(Lane):
    """At most `depth` operations, which end with the call that they are part of. A call that takes longer than
    `patience_s`, or after which nothing can be relied on, ends the lane: Lost."""

    def __init__(
        self,
        move: Move,
        where: str,
        arena: Arena,
        depth: int,
        patience_s: float,
        clock: Clock,
        whole: Callable[[int, int, int], bool],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`whole(key, offset, nbytes)`: is that one block of the layout? `ended` is called when no call is under way
        any more, after `close`."""
        self._move, self._where, self._whole, self._ended = move, where, whole, ended
        self._address, self._nbytes = arena.address, arena.nbytes
        # As long as somebody holds a piece of it the memory stays, whoever closes the arena.
        self._held: object = memoryview(arena.view)  # type: ignore[arg-type]  # an array has the buffer protocol
        self._depth, self._patience_ns, self._clock = depth, int(patience_s * 1e9), clock
        self.prefix = ""
        self._accepted = 0
        self._inbox: queue.SimpleQueue[Sequence[_Job]] = queue.SimpleQueue()
        self._done: deque[_Row] = deque()
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._calling_since = 0
        self._lost = ""
        self._closed = False
        #: What the store said of operations that failed, by key; of the first ones.
        self.said: dict[int, str] = {}
        self.calls = self.called_ns = self.moved = self.moved_bytes = 0
        self._thread = threading.Thread(target=self._serve, name="kvscen-calls", daemon=True)
        self._thread.start()

    def submit(self, ops: Rows) -> int:
        if self._lost:
            raise Lost(self._lost, f"{_REMEDY}; the next point connects anew")
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0:
            return 0
        now, address, size = self._clock(), self._address, self._nbytes
        jobs: list[_Job] = []
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops[:count].tolist():
            if kind > WRITE or buffer + nbytes > size or not self._whole(key, offset, nbytes):
                code = errno.EOPNOTSUPP if kind > WRITE else errno.EINVAL
                self._done.append((number, now, self._clock(), 0, 0, code, ERROR, 0, 0))
            else:
                jobs.append((number, now, key, address + buffer, nbytes, kind != READ))
        self._accepted += count
        if jobs:
            self._inbox.put(jobs)
        return count

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        at_least = min(at_least, len(out))
        deadline = time.monotonic_ns() + timeout_ns
        while len(self._done) < at_least and (left := deadline - time.monotonic_ns()) > 0:
            since = self._calling_since
            if since and time.monotonic_ns() - since > self._patience_ns:
                self._lost = f"{self._where} has not ended a call in {self._patience_ns / 1e9:g} s"
                raise Lost(self._lost, f"{_REMEDY}, or set a longer `patience`")
            with contextlib.suppress(queue.Empty):
                self._signal.get(timeout=min(left, self._patience_ns) / 1e9)
        count = min(len(self._done), len(out))
        if count:
            out[:count] = [self._done.popleft() for _ in range(count)]
            self._accepted -= count
        return count

    def _serve(self) -> None:
        while True:
            jobs = list(self._inbox.get())
            with contextlib.suppress(queue.Empty):
                while jobs:
                    jobs += self._inbox.get_nowait()
            if self._closed:
                return
            for write in (True, False):
                part = [job for job in jobs if job[5] == write]
                if part:
                    self._call(part, write)
            self._signal.put(None)

    def _call(self, jobs: Sequence[_Job], write: bool) -> None:
        names = [f"{self.prefix}{job[2]}" for job in jobs]
        addresses, sizes = [job[3] for job in jobs], [job[4] for job in jobs]
        began = self._calling_since = time.monotonic_ns()
        answers: Sequence[Failed | None] = ()
        problem = ""
        try:
            answers = self._move(write, names, addresses, sizes)
        except Exception as error:  # bindings have error classes of their own
            problem = f"raised {type(error).__name__}: {error}"
        else:
            if len(answers) != len(jobs):
                problem = f"gave {len(answers)} answers to {len(jobs)} operations"
        now = self._clock()
        self.calls += 1
        self.called_ns += time.monotonic_ns() - began
        if problem:
            answers = [Failed(errno.EREMOTEIO, problem, lost=True)] * len(jobs)
        for (number, submitted, key, _, wanted, _), failed in zip(jobs, answers, strict=True):
            if failed is None:
                self.moved += 1
                self.moved_bytes += wanted
                self._done.append((number, submitted, now, wanted, 0, 0, OK, 0, 0))
                continue
            if len(self.said) < 16:
                self.said[key] = failed.said
            if failed.lost and not self._lost:
                verb = "write" if write else "read"
                self._lost = f"{self._where} failed a {verb} of `{self.prefix}{key}` with {failed.said}"
            self._done.append((number, submitted, now, 0, 0, failed.errno, ERROR, 0, 0))
        self._calling_since = 0

    @property
    def lost(self) -> str:
        """What became of the lane; "" while it can be used."""
        return self._lost

    def close(self) -> None:
        """A call that hangs is left behind, with its buffers: it ends with the process."""
        if self._closed:
            return
        self._closed = True
        self._inbox.put([])
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _left_behind.append(self._held)
        else:
            self._ended()
        self._held = None
