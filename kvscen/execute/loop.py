"""The hot loop, written once: ask the source for operations, keep the lane filled, record every operation, stop at the
end.

Nothing in here allocates more than a few small arrays, writes a file or logs. What finished is checked before it is
believed: an operation that was never submitted, comes back twice, or moved another number of bytes than asked is never
counted as work done.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.execute.slots import ContractBroken, Slots
from kvscen.measure.recorder import Recorder
from kvscen.pattern.replay_source import ReplaySource
from kvscen.pattern.source import LaneSource, ListSource, StepSource
from kvscen.plugin.contract import COMPLETION, ERROR, KINDS, OPERATION, Lane, Rows, Store
from kvscen.plugin.virtual import VirtualLane

#: The longest wait in one reap: how soon a stop is noticed when nothing completes.
POLL_NS = 100_000_000
_NEVER = 2**63 - 1


class Content(Protocol):
    """Fills buffers before operations are submitted and looks at them when they are done (verification, laying out)."""

    def before(self, ops: Rows) -> None: ...

    def after(self, ops: Rows, completions: Rows) -> None: ...


class Quota:
    """Operations left to submit, shared by the lanes of a worker so that they end together."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        return self._left

    def take(self, count: int) -> int:
        with self._lock:
            taken = min(count, self._left)
            self._left -= taken
            return taken

    def give_back(self, count: int) -> None:
        with self._lock:
            self._left += count


@attrs.frozen
class Pulse:
    """What the conductor sees of a worker: `progress` grows with every finished operation. `syncing`: none can finish
    now, as the store makes durable what was written."""

    progress: int
    syncing: bool = False


@attrs.frozen
class Beat:
    """The worker's pulse, in memory that the conductor shares."""

    cells: npt.NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(2, np.int64))

    @classmethod
    def shared(cls, memory: mmap.mmap) -> Beat:
        return cls(np.frombuffer(memory, np.int64, 2))

    def read(self) -> Pulse:
        return Pulse(int(self.cells[0]), bool(self.cells[1]))

    def add(self, count: int) -> None:
        # Lanes of one worker may overwrite each other's addition; all that matters is that the number moves.
        self.cells[0] += count

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """While the store writes back what it was given, or makes it durable."""
        self.cells[1] = 1
        try:
            yield
        finally:
            self.add(1)
            self.cells[1] = 0


@attrs.frozen
class Shape:
    """How a lane is filled. `slots` buffers of `slot_bytes` (0: the operations bring theirs); `batch` is set where
    `wait = batch`: then operations are posted in whole batches, at most `batches` at a time. `ahead` of the slots are
    for operations that the lane holds back (`Lane.limit`), and their buffers are the lane's: then it is asked for
    nothing before it has started all of them, and sees to it by itself that a batch waits for the one before.
    """

    slots: int
    slot_bytes: int
    batch: int | None = None
    batches: int = 1
    ahead: int = 0


class LaneLoop:
    """One lane's loop. `step` does one round and returns False at the end; `fill` and `wait` are its halves."""

    def __init__(
        self,
        store: Store,
        lane: Lane,
        source: LaneSource | ListSource | StepSource | ReplaySource,
        shape: Shape,
        beat: Beat,
        *,
        recorder: Recorder | None = None,
        content: Content | None = None,
        quota: Quota | None = None,
        counted_from_ns: int = 0,
        stop_ns: int | None = None,
        cpus: frozenset[int] = frozenset(),
        poll_ns: int = POLL_NS,
    ) -> None:
        """Stops submitting at `stop_ns`, when `quota` is used up or at the end of a replay; what is due before
        `counted_from_ns` does not use the quota. The lane's thread is pinned to `cpus`, if any. `poll_ns` is the
        longest wait in one `step`.
        """
        self._store = store
        # The method costs a call more than the function that it calls.
        self._clock = time.perf_counter_ns if type(store).clock is Store.clock else store.clock
        self._lane = lane
        self._source = source
        self._replay = source if isinstance(source, ReplaySource) else None
        self._shape = shape
        self._beat = beat
        self._recorder = recorder
        self._content = content
        self._quota = quota
        self._counted_from = counted_from_ns
        self._stop_ns = stop_ns
        # Whole batches are asked for; where the lane holds none back they are also counted here.
        self._whole = shape.batch or 1
        self._batch = None if shape.ahead else shape.batch
        self._portion = max(1, shape.ahead)
        self._slots = Slots(shape.slots, None if shape.ahead else shape.slot_bytes)
        self._out = np.zeros(0 if recorder else shape.slots, COMPLETION)
        self._waiting = np.zeros(0, OPERATION)
        self._flying = 0
        self._room = (self._batch or 0) * shape.batches
        self._open_batches: dict[int, int] = {}
        self._backlog = 0
        self._stopping = False
        self._flush_at = _NEVER
        self._flush_every = 0
        self._flushed_ns = 0
        #: Operations that were due and had not ended when they were last counted (`flush_every`).
        self.owed = 0
        self.cpus = cpus
        self._poll_ns = poll_ns
        self.first_error = ""

    # ---- a round

    def step(self) -> bool:
        """One round. False when the lane is empty and nothing more is to be submitted."""
        self.fill()
        if self.finished:
            return False
        self.wait()
        return True

    @property
    def finished(self) -> bool:
        return self._stopping and not self._flying

    def stop(self) -> None:
        """Submit nothing more."""
        self._stop_ns = 0

    def again(self) -> None:
        """After the end: go on, for the quota has been filled up again. What comes first is asked for at once, and
        submitted when the loop is stepped."""
        self._stopping = False
        self._ask(self._clock())

    def fill(self) -> None:
        """Submit as much as there is room for."""
        now = self._clock()
        if now >= self._flush_at:
            self._flush(now)
        if not self._stopping and self._must_stop(now):
            self._stopping = True
            self._drop_waiting()
        if not len(self._waiting) and not self._stopping:
            self._ask(now)
        if len(self._waiting):
            accepted = self._lane.submit(self._waiting)
            if accepted:
                self._flying += accepted
                self._waiting = self._waiting[accepted:]
            elif not self._flying:
                raise ContractBroken("the driver accepts no operation although none is in flight")

    def wait(self, until_ns: int | None = None) -> None:
        """Reap what has finished; wait for at least one, but not past the next due operation, nor past `until_ns`."""
        timeout = self._poll_ns
        if self._source.open_loop and not self._stopping and self._slots.free:
            due = self._source.next_due_ns
            left = max(0, due - self._clock())
            # A pause takes no time on a virtual clock, however long, and nobody stops it meanwhile.
            timeout = left if self._store.virtual and due < _NEVER else min(timeout, left)
        if until_ns is not None:
            timeout = min(timeout, max(0, until_ns - self._clock()))
        if self._stop_ns is not None and not self._stopping:
            timeout = min(timeout, max(0, self._stop_ns - self._clock()))
        if not self._flying and not self._store.virtual:
            if timeout:
                _sleep_until(self._store, self._clock() + timeout)
            if self._replay is not None:
                self._beat.add(1)  # a trace may have long pauses, in which nothing can hang
            return
        # A whole batch at a time where that is what is waited for: nothing is refilled before its end.
        whole = self._batch is not None and self._shape.batches == 1 and not self._room and not len(self._waiting)
        at_least = self._flying if whole else min(self._portion, self._flying)
        # Where it may be replaced meanwhile (`measure`), what was reaped into one recorder is that one's.
        recorder = self._recorder
        out = self._out if recorder is None else recorder.room(self._shape.slots)
        count = self._lane.reap(out, at_least, timeout)
        if count:
            self._take(out[:count], recorder)

    def next_event_ns(self) -> int:
        """When this loop has something to do next, on a virtual clock."""
        assert isinstance(self._lane, VirtualLane)
        event = self._lane.next_event_ns()
        due = self._source.next_due_ns if self._source.open_loop and not self._stopping and self._slots.free else None
        times = [t for t in (event, due) if t is not None]
        return min(times) if times else self._clock()

    @property
    def backlog(self) -> int:
        """Operations that were due before the end and never submitted."""
        return self._backlog if self._stopping else 0

    # ---- a load that is judged while it runs

    def flush_every(self, first_ns: int, every_ns: int) -> None:
        """Count what was recorded at `first_ns` and from then on every so often. Before the load begins."""
        self._flush_at, self._flush_every = first_ns, every_ns

    def flushed_since(self, time_ns: int) -> bool:
        """Is everything counted that completed before `time_ns`?"""
        if self._store.virtual:
            # All lanes are stepped by the thread that asks.
            self._count(time_ns)
            return True
        return self._flushed_ns >= time_ns

    def measure(self, recorder: Recorder, stop_ns: int) -> None:
        """From now on another recorder, whose window has yet to begin, and an end. May be called while the lane runs:
        what it is just recording ended before that window.
        """
        self._flush_at = _NEVER
        self._recorder = recorder
        self._stop_ns = stop_ns

    def _flush(self, now: int) -> None:
        self._count(now)
        self._flushed_ns = now
        self._flush_at += ((now - self._flush_at) // self._flush_every + 1) * self._flush_every

    def _count(self, now: int) -> None:
        assert self._recorder is not None
        self._recorder.flush()
        self.owed = self._source.due_by(now) + len(self._waiting) + self._flying

    # ---- halves of a round

    def _must_stop(self, now: int) -> bool:
        if self._stop_ns is not None and now >= self._stop_ns:
            return True
        if self._replay is not None and self._replay.ended and not len(self._waiting):
            return True
        return self._quota is not None and not self._quota.left and now >= self._counted_from and not len(self._waiting)

    def _drop_waiting(self) -> None:
        """What was asked for but not accepted is not submitted any more."""
        count = len(self._waiting)
        # What is due just at the end is due after it.
        self._backlog = self._source.due_by(self._stop_ns - 1 if self._stop_ns is not None else self._clock())
        if count:
            self._backlog += count if self._source.open_loop else 0
            self._slots.give_up(self._waiting)
            self._waiting = self._waiting[:0]

    def _ask(self, now: int) -> None:
        want = self._slots.free
        if self._batch is not None:
            want = min(want, self._room)
        else:
            want -= want % self._whole
        if not want:
            return
        counted = self._quota is not None and now >= self._counted_from
        if counted:
            assert self._quota is not None
            want = self._quota.take(want)
            if not want:
                return
        rows = self._source.next(want, now)
        count = len(rows)
        if counted:
            assert self._quota is not None
            # What was due before counting began is submitted too, late, but it is not one of the counted.
            self._quota.give_back(want - int((rows["due"] >= self._counted_from).sum()))
        if not count:
            return
        self._room -= count
        ops = self._slots.lend(rows)
        if self._content is not None:
            self._content.before(ops)
        self._waiting = ops

    def _take(self, done: Rows, recorder: Recorder | None) -> None:
        ops, good = self._slots.take_back(done)
        if not good:
            self._note_error(ops, done)
        count = len(done)
        self._flying -= count
        if recorder is not None:
            recorder.push(ops)
        if self._content is not None:
            self._content.after(ops, done)
        if self._replay is not None:
            self._replay.done(ops, done)
        if self._batch is not None:
            self._end_batches(ops["batch"])
        self._beat.add(count)

    def _end_batches(self, ended: npt.NDArray[np.uint64]) -> None:
        """Room for a new batch comes back when all operations of one have ended."""
        assert self._batch is not None
        batches = ended.tolist()
        for batch in set(batches):  # few: quicker than arrays
            left = self._open_batches.pop(batch, self._batch) - batches.count(batch)
            if left:
                self._open_batches[batch] = left
            else:
                self._room += self._batch

    def _note_error(self, ops: Rows, done: Rows) -> None:
        if self.first_error:
            return
        bad = np.flatnonzero(done["outcome"] == ERROR)
        if len(bad):
            op, completion = ops[int(bad[0])], done[int(bad[0])]
            self.first_error = describe_error(op, completion, self._store.locate(int(op["key"])))


def describe_error(op: Rows, completion: Rows, where: str) -> str:
    """One phrase for a failed operation: what, where, why."""
    code, moved = int(completion["errno"]), int(completion["bytes"])
    what = f"{KINDS[int(op['kind'])]} of {where} ({int(op['bytes'])} bytes)"
    if code:
        short = f", short: {moved} bytes moved" if moved else ""
        return f"{what}: {errno.errorcode.get(code, code)} ({os.strerror(code)}){short}"
    return f"{what}: short, {moved} bytes moved"


def _sleep_until(store: Store, until_ns: int) -> None:
    """Sleep, then spin the last stretch: a sleep alone wakes late by tens of microseconds."""
    left = until_ns - store.clock()
    if left > 200_000:
        time.sleep((left - 150_000) / 1e9)
    while store.clock() < until_ns:
        pass


def run_loops(loops: Sequence[LaneLoop], store: Store, attend: Iterable[int] = ()) -> None:
    """Run all lanes of a worker to their end: each in a thread of its own, or stepped in the order of their events
    where the clock is virtual. Meanwhile `attend` is resumed at each time of the store's clock that it yields, or
    when all lanes have ended. Raises what a lane raised first.
    """
    if store.virtual:
        _step_virtual(loops, attend)
        return
    failures: list[BaseException] = []

    def run(loop: LaneLoop) -> None:
        try:
            if loop.cpus:
                os.sched_setaffinity(0, loop.cpus)  # of this thread alone
            while loop.step():
                pass
        except BaseException as error:
            failures.append(error)
            # The other lanes stop too: one lane's figures without the others' would be wrong.
            for other in loops:
                other.stop()

    threads = [threading.Thread(target=run, args=(loop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    for time_ns in attend:
        while any(thread.is_alive() for thread in threads) and (left := time_ns - time.perf_counter_ns()) > 0:
            time.sleep(min(left / 1e9, 0.1))
        if failures:
            break
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _step_virtual(loops: Sequence[LaneLoop], attend: Iterable[int]) -> None:
    running = list(loops)
    attend = iter(attend)
    wake = next(attend, None)
    while running:
        for loop in running:
            loop.fill()
        running = [loop for loop in running if not loop.finished]
        if not running:
            break
        first = min(running, key=LaneLoop.next_event_ns)
        # All that ends before it is resumed has ended: the next event is later, and nobody waits beyond that time.
        while wake is not None and wake <= first.next_event_ns():
            wake = next(attend, None)
        first.wait(wake)
    for _ in attend:
        pass
