"""A lane for a synchronous store: it only has to give `transfer(op, view)`.

Few operations at once run on threads; one at a time runs in the thread that reaps, without any.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from kvscen.plugin.contract import ANY_BUFFER, ERROR, MISS, OK, Arena, Clock, Lane, Rows

#: One row of COMPLETION.
_Row: TypeAlias = "tuple[int, int, int, int, int, int, int, int, int]"
#: An operation's id, when it was submitted (None: that is when it starts), the bytes that it is to move, and what to
#: call with what to move them.
Job: TypeAlias = "tuple[int, int | None, int, Callable[..., int], tuple[Any, ...]]"

#: Operations that run in the reaping thread are reported together for so long: small ones share the cost of a `reap`.
_SLICE_NS = 400_000
#: Whoever waits gets a quarter of what is in flight together, if that takes no longer than this: a copy of a megabyte
#: leaves nothing of the loop's own data in the processor's caches, and a round of the loop then costs as much as the
#: copy. More than a quarter at once, and the depth that was asked for would not be kept.
_ROUND_NS = 4_000_000
_ROUND_SHARE = 4
#: How long `close` waits for threads that are still busy.
_CLOSE_S = 1.0

_log = logging.getLogger("kvscen.driver")


class Miss(Exception):
    """Raised by `transfer` when the key is not there: no failure, but a miss."""


class Synchronous(Protocol):
    """What a synchronous store gives."""

    def transfer(self, op: np.void, view: npt.NDArray[np.uint8]) -> int:
        """Do one operation (a row of OPERATION), `view` being its buffer, and return the bytes moved.

        Raises OSError when it fails, Miss when the key is not there. Called from several threads at once.
        """
        ...


class ThreadLane(Lane):
    """At most `depth` operations accepted, `threads` of them (default: all) running at once on threads of their own.

    With one thread an operation runs inside `reap`. A transfer of fewer bytes than asked for is an error (EIO), and so
    is any exception: with its errno where it is an OSError, else EIO and a line in the log.
    """

    def __init__(
        self, store: Synchronous | None, arena: Arena, depth: int, clock: Clock, threads: int | None = None
    ) -> None:
        """`store` is None where a subclass has `jobs` of its own."""
        self._store = store
        self._view, self._arena_bytes = arena.view, arena.nbytes
        self._clock = clock
        self._depth = depth
        self._accepted = 0
        # Where it is limited: where in the arena the buffers are that are free. The last one is the next to be used.
        self._limited = False
        self._pool: list[int] = []
        self._waiting: deque[Job] = deque()
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # What has ended, and how `reap` is woken when it is enough: not by each thread that ends an operation, since
        # a thread that wakes another one waits for it, and the next transfer with it.
        self._done: deque[_Row] = deque()
        self._wanted = 0
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._told = False
        count = depth if threads is None else min(threads, depth)
        self._threads = [
            threading.Thread(target=self.serve, name=f"kvscen-transfer-{i}", daemon=True)
            for i in range(count if count > 1 else 0)
        ]
        for thread in self._threads:
            thread.start()

    def limit(self, in_flight: int) -> None:
        self._limited = True
        part = self._arena_bytes // in_flight
        self._pool = [i * part for i in reversed(range(in_flight))]
        for _ in range(len(self._threads) - in_flight):
            self._inbox.put(None)

    def submit(self, ops: Rows) -> int:
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0:
            return 0
        waits = self._limited and int(ops["buffer"][0]) == ANY_BUFFER
        now = None if waits else self._clock()
        put = self._inbox.put if self._threads else self._waiting.append
        for job in self.jobs(ops[:count], now):
            put(job)
        self._accepted += count
        return count

    def jobs(self, ops: Rows, submitted: int | None) -> Iterable[Job]:
        """What the threads are to do for these operations. What is said here need not be said in each of them. Where
        `submitted` is None they take a buffer from the pool, and give it back.
        """
        assert self._store is not None
        transfer = self._store.transfer
        for op in ops.copy():
            first, wanted = int(op["buffer"]), int(op["bytes"])
            if submitted is None:
                yield int(op["id"]), None, wanted, self._transfer_anywhere, (transfer, op, wanted)
            else:
                yield int(op["id"]), submitted, wanted, transfer, (op, self._view[first : first + wanted])

    def _transfer_anywhere(self, transfer: Callable[..., int], op: np.void, wanted: int) -> int:
        first = self._pool.pop()
        try:
            op["buffer"] = first
            return transfer(op, self._view[first : first + wanted])
        finally:
            self._pool.append(first)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        count = self._collect(out, at_least, timeout_ns) if self._threads else self._run_here(out, at_least, timeout_ns)
        self._accepted -= count
        return count

    def close(self) -> None:
        """Threads that hang in a transfer are left behind: they are daemons and end with the process."""
        self._waiting.clear()
        threads, self._threads = self._threads, []
        for _ in threads:
            self._inbox.put(None)
        deadline = time.monotonic() + _CLOSE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run_here(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        if not self._waiting:
            if at_least > 0:
                time.sleep(timeout_ns / 1e9)
            return 0
        limit, start = min(len(out), len(self._waiting)), self._clock()
        portion = limit // _ROUND_SHARE if at_least else 0
        rows: list[_Row] = []
        while len(rows) < limit:
            row = self._run(*self._waiting.popleft())
            rows.append(row)
            longest = timeout_ns if len(rows) < at_least else _SLICE_NS if len(rows) >= portion else _ROUND_NS
            if row[2] - start > longest:
                break
        out[: len(rows)] = rows
        return len(rows)

    def _collect(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        done, at_least = self._done, min(at_least, len(out))
        if len(done) < at_least:
            deadline = time.monotonic_ns() + timeout_ns
            self._wanted = at_least
            # A thread that ended one before it saw what is wanted is seen here; a signal from an earlier wait that is
            # still there only makes this look once more.
            while len(done) < at_least and (left := deadline - time.monotonic_ns()) > 0:
                with contextlib.suppress(queue.Empty):
                    self._signal.get(timeout=left / 1e9)
            self._wanted = 0
        count = min(len(done), len(out))
        if count:
            out[:count] = [done.popleft() for _ in range(count)]
        return count

    def serve(self) -> None:
        """What each thread does."""
        take, done, run = self._inbox.get, self._done, self._run
        while (job := take()) is not None:
            done.append(run(*job))
            if 0 < self._wanted <= len(done):
                self._signal.put(None)

    def _run(
        self, number: int, submitted: int | None, wanted: int, call: Callable[..., int], arguments: tuple[Any, ...]
    ) -> _Row:
        start = self._clock() if submitted is None else submitted
        try:
            moved = call(*arguments)
        except Miss:
            moved, code, outcome = 0, 0, MISS
        except OSError as error:
            moved, code, outcome = 0, error.errno or errno.EIO, ERROR
        except Exception:  # whatever a driver raises is this operation's failure; it must not take the lane with it
            moved, code, outcome = 0, errno.EIO, ERROR
            if not self._told:
                self._told = True
                _log.exception("a transfer failed with an error that is not an OSError (further ones are only counted)")
        else:
            code, outcome = (0, OK) if moved == wanted else (errno.EIO, ERROR)
        return number, start, self._clock(), moved, 0, code, outcome, 0, 0
