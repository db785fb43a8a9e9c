"""`memory = vram` for drivers whose buffers are in host memory: each block is bounced through pinned host memory.

A read goes from the tier into a pinned buffer and from there to the GPU, a write the other way. The buffers are
bounded: what finds none waits for one. Both halves are timed apart, the copy by CUDA events, the rest by what the
driver's own lane says.
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import attrs
import numpy as np

from kvscen.plugin import (
    COMPLETION,
    ERROR,
    OK,
    OPERATION,
    READ,
    WRITE,
    Arena,
    Clock,
    Count,
    Decided,
    DriverError,
    Histogram,
    Lane,
    Layout,
    Limits,
    Load,
    Measure,
    Memory,
    PathReport,
    Peer,
    Rows,
    Store,
    Unavailable,
    Work,
    buffers_for,
    setting,
)
from kvscen_drivers.gpu.arenas import make_arena
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling, lost, open_gpu, why_not
from kvscen_drivers.gpu.streams import Streams, Times

#: Most pinned memory of a lane; one buffer at least.
MOST_BYTES = 1 << 30
# Copies each way overlap, and so do those of one way with the calls for the next.
_STREAMS = 2
_PAGE_BYTES = 4096
_CLOSE_S = 1.0
# While copies are under way, how long the lane below is waited for before they are looked at again.
_SLICE_NS = 20_000

#: One row of COMPLETION.
_Row: TypeAlias = "tuple[int, int, int, int, int, int, int, int, int]"

#: Columns of every driver that bounces.
MEASURES = (
    Measure("gpu", "string", "", "memory = vram: the GPU of the buffers: its name, memory and PCI address"),
    Measure("copy_mean_ns", "float64", "ns", "memory = vram: a copy to or from the GPU, by two CUDA events: mean"),
    Measure("copy_p99_ns", "int64", "ns", "the same: 99th percentile"),
    Measure(
        "host_mean_ns",
        "float64",
        "ns",
        "memory = vram: the other half, a transfer between the tier and pinned host memory: mean",
    ),
    Measure("host_p99_ns", "int64", "ns", "the same: 99th percentile"),
    Measure("bounce_buffers", "int64", "", "memory = vram: pinned buffers of all lanes, each for one block"),
)


def gpu_setting() -> Any:
    """The setting `gpu` of a driver that bounces."""
    return setting(
        Count(0, 1023),
        default=None,
        help="with `memory = vram`: the GPU of the buffers, as CUDA counts them (CUDA_VISIBLE_DEVICES); default: 0. "
        "Untested: no GPU has run it yet",
    )


def vram_fact() -> dict[str, str]:
    """For a probe: whether `memory = vram` may work here. Asks no GPU."""
    reason = why_not()
    return {"memory = vram": reason[0] if reason else "through pinned host memory; untested, no GPU has run it"}


def lane_buffers(work: Work, block_bytes: int, max_in_flight: int) -> int:
    """Buffers of a lane in host memory, each of `block_bytes`: those of the core, or those that blocks bounce in."""
    wanted = buffers_for(work, max_in_flight)
    return wanted if work.memory == "dram" else max(1, min(wanted, MOST_BYTES // max(1, block_bytes)))


def through_host(gpu: int | None, work: Work, open_store: Callable[[Work], Store]) -> Store:
    """The store that `open_store` gives for work with buffers in host memory, whatever `work.memory` is. Raises
    Unavailable where the buffers are to be on a GPU and there is none."""
    if work.memory == "dram":
        return open_store(work)
    try:
        card = open_gpu(gpu or 0)
    except Unavailable as error:
        raise Unavailable(f"buffers on a GPU (`memory = vram`): {error}", error.remedy) from error
    store = open_store(attrs.evolve(work, memory="dram"))
    kind = BouncedCache if type(store).decide is not Store.decide else BouncedStore
    return kind(card, store, work)


class _Bounced(NamedTuple):
    """An operation that has a buffer. `at` is where its block is on the GPU; the rest is as it was submitted."""

    number: int
    key: int
    offset: int
    nbytes: int
    at: int
    batch: int
    request: int
    due: int
    kind: int
    submitted_ns: int


class BounceLane(Lane):
    """Over a lane of the driver's, whose buffers are parts of `slot_bytes` of `host`."""

    def __init__(
        self, gpu: Gpu, below: Lane, host: Arena, slot_bytes: int, arena: Arena, depth: int, clock: Clock
    ) -> None:
        """`arena` is the core's, on the GPU. Pins `host` where nobody has. Takes `below` and `host` over. Raises
        DriverError, and then they are the caller's still."""
        self._gpu, self._below, self._host, self._clock = gpu, below, host, clock
        self.cpus = below.cpus
        self._depth, self._slot_bytes = depth, slot_bytes
        self._address, self._arena_bytes = arena.address, arena.nbytes
        self._pinned_here = gpu.pin(host.address, host.nbytes)
        self._streams = Streams(gpu, _STREAMS)
        self.buffers = host.nbytes // slot_bytes
        self._free = list(reversed(range(self.buffers)))
        self._accepted = 0
        self._waiting: deque[tuple[Any, ...]] = deque()
        #: By buffer, which is its number for the lane below: what is being bounced.
        self._bounced: dict[int, _Bounced] = {}
        #: What is to be submitted below, and how many operations are there.
        self._ready: deque[int] = deque()
        self._below_flying = 0
        #: Reads whose copy is under way: the completion of the lane below.
        self._read: dict[int, _Row] = {}
        self._done: deque[_Row] = deque()
        self._rows, self._out = np.zeros(self.buffers, OPERATION), np.zeros(self.buffers, COMPLETION)
        self.times = Times()
        self._busy = threading.Lock()
        self._closed = False

    @property
    def copies(self) -> Histogram:
        return self._streams.times.histogram

    def reset(self) -> None:
        """Forget how long both halves took."""
        self.times, self._streams.times = Times(), Times()

    # ---- in

    def submit(self, ops: Rows) -> int:
        with self._busy:
            count = min(len(ops), self._depth - self._accepted)
            if count <= 0 or self._closed:
                return 0
            calling(self._gpu, self._gpu.enter)
            self._accepted += count
            self._waiting.extend(ops[:count].tolist())
            self._start()
            return count

    def _start(self) -> None:
        """Everything that has a buffer to bounce in, as far as there are any."""
        while self._waiting and self._free:
            number, key, offset, nbytes, at, batch, request, due, kind, _ = self._waiting.popleft()
            now = self._clock()
            if kind in (READ, WRITE) and (nbytes > self._slot_bytes or at + nbytes > self._arena_bytes):
                self._done.append((number, now, now, 0, 0, errno.EINVAL, ERROR, 0, 0))
                continue
            slot = self._free.pop()
            self._bounced[slot] = _Bounced(number, key, offset, nbytes, at, batch, request, due, kind, now)
            if kind == WRITE:
                self._copy(slot)
            else:
                self._ready.append(slot)
        self._push()

    def _copy(self, slot: int) -> None:
        op = self._bounced[slot]
        host, device = self._host.address + slot * self._slot_bytes, self._address + op.at
        target, source = (device, host) if op.kind == READ else (host, device)
        (failed,) = self._gpu.api.cuMemcpyAsync(target, source, op.nbytes, self._streams.begin())
        if failed:
            raise lost(self._gpu, self._gpu.error("a copy", failed))
        self._streams.end(slot)

    def _push(self) -> None:
        """Give the lane below what is ready, as much as it takes."""
        count = len(self._ready)
        if not count:
            return
        rows = self._rows[:count]
        rows[["id", "key", "offset", "bytes", "buffer", "batch", "request", "due", "kind"]] = [
            (slot, op.key, op.offset, op.nbytes, slot * self._slot_bytes, op.batch, op.request, op.due, op.kind)
            for slot in self._ready
            for op in (self._bounced[slot],)
        ]
        accepted = self._below.submit(rows)
        for _ in range(accepted):
            self._ready.popleft()
        self._below_flying += accepted

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
                self._accepted -= count
            return count

    def _wait(self, at_least: int, timeout_ns: int) -> None:
        began = time.monotonic_ns()
        while True:
            self._look()
            self._start()
            left = timeout_ns - (time.monotonic_ns() - began)
            missing = len(self._done) < at_least and left > 0
            if self._below_flying:
                wait = min(left, _SLICE_NS) if self._streams.flying else left
                self._take(int(missing), wait if missing else 0)
            elif missing and not self._streams.flying:
                time.sleep(left / 1e9)
                return
            if len(self._done) >= at_least or left <= 0:
                return

    def _look(self) -> None:
        """At the copies: what has arrived in host memory is to be written, what has arrived on the GPU was read."""
        for slot in self._streams.ended() if self._streams.flying else ():
            if self._bounced[slot].kind == WRITE:
                self._ready.append(slot)
            else:
                _, _, _, moved, wire_bytes, _, _, level, _ = self._read.pop(slot)
                self._finish(slot, (self._clock(), moved, wire_bytes, 0, OK, level))

    def _take(self, at_least: int, timeout_ns: int) -> None:
        """What the lane below has finished."""
        count = self._below.reap(self._out, at_least, timeout_ns)
        self._below_flying -= count
        for row in self._out[:count].tolist():
            slot, submitted, end, moved, wire_bytes, code, outcome, level, _ = row
            op = self._bounced[slot]
            good = outcome == OK and moved == op.nbytes
            if good and op.kind in (READ, WRITE):
                self.times.add(end - submitted)
            if good and op.kind == READ:
                self._read[slot] = row
                self._copy(slot)
            else:
                self._finish(slot, (end, moved, wire_bytes, code, outcome, level))

    def _finish(self, slot: int, how: tuple[int, int, int, int, int, int]) -> None:
        op = self._bounced.pop(slot)
        self._free.append(slot)
        self._done.append((op.number, op.submitted_ns, *how, 0))

    # ---- the end

    def close(self) -> None:
        """Waits a second for what is in flight; what hangs longer is left behind and goes with the process."""
        if self._closed or not self._busy.acquire(timeout=_CLOSE_S):
            self._closed = True
            return
        try:
            self._closed = True
            self._below.close()
            with contextlib.suppress(CudaError):  # of a GPU that was lost
                self._gpu.enter()
                if not self._streams.close():
                    return
                if self._pinned_here:
                    self._gpu.unpin(self._host.address)
            self._host.close()
        finally:
            self._busy.release()


class BouncedStore(Store):
    """A store with buffers in host memory, for work whose buffers are on a GPU."""

    def __init__(self, gpu: Gpu, below: Store, work: Work) -> None:
        """Takes `below` over."""
        self._gpu, self._below, self._work = gpu, below, work
        self._card = str(gpu.card(gpu.ordinal))
        self._lanes: list[BounceLane] = []
        # A lane of this kind holds nothing back, so the core gives it nothing ahead of time.
        self.limits = Limits(below.limits.alignment_bytes, below.limits.max_in_flight)
        grain = max(below.limits.alignment_bytes, _PAGE_BYTES)
        self._slot_bytes = -(-work.block_bytes // grain) * grain

    def clock(self) -> int:
        return self._below.clock()

    def allocate(self, nbytes: int, memory: Memory) -> Arena:
        return make_arena(self._gpu, nbytes, memory)

    def lane(self, index: int, arena: Arena) -> Lane:
        depth = self.limits.max_in_flight
        count = lane_buffers(self._work, self._slot_bytes, depth)
        host = self._below.allocate(count * self._slot_bytes, "dram")
        below: Lane | None = None
        try:
            below = self._below.lane(index, host)
            lane = BounceLane(self._gpu, below, host, self._slot_bytes, arena, depth, self.clock)
        except BaseException:
            if below is not None:
                below.close()
            host.close()
            raise
        self._lanes.append(lane)
        return lane

    def prepare(self, layout: Layout) -> Sequence[int]:
        return self._below.prepare(layout)

    def settle(self) -> None:
        self._below.settle()

    def reset(self) -> None:
        self._below.reset()
        self._forget()

    def recount(self) -> None:
        self._below.recount()
        self._forget()

    def _forget(self) -> None:
        for lane in self._lanes:
            lane.reset()

    def counters(self) -> Mapping[str, int]:
        return self._below.counters()

    def edges(self) -> Sequence[Mapping[str, Any]]:
        return self._below.edges()

    def measures(self) -> Mapping[str, int | float | str | None]:
        copies, rest = Histogram(), Histogram()
        for lane in self._lanes:
            copies.merge(lane.copies)
            rest.merge(lane.times.histogram)
        return {
            **self._below.measures(),
            "gpu": self._card,
            "copy_mean_ns": copies.mean,
            "copy_p99_ns": copies.percentile(0.99),
            "host_mean_ns": rest.mean,
            "host_p99_ns": rest.percentile(0.99),
            "bounce_buffers": sum(lane.buffers for lane in self._lanes),
        }

    def path(self) -> PathReport:
        """That of the half below: the copy has no choice."""
        report = self._below.path()
        gpu = f"GPU {self._gpu.ordinal} ({self._gpu.name}, CUDA {self._gpu.cuda})"
        return PathReport(report.kind, f"{report.evidence}; bounced through pinned host memory to and from {gpu}")

    def locate(self, key: int) -> str:
        return self._below.locate(key)

    def check(self) -> None:
        self._below.check()

    def ceiling(self, load: Load) -> Peer:
        raise DriverError("no ceiling: its buffers are not on a GPU", "use `memory = dram`")

    def close(self) -> None:
        """The core has closed its lanes."""
        self._below.close()


class BouncedCache(BouncedStore):
    """Over a store that decides what it keeps."""

    def decide(self, request: Sequence[int], look_up: bool = True) -> Decided | None:
        return self._below.decide(request, look_up)

    def occupancy(self) -> Sequence[int]:
        return self._below.occupancy()
