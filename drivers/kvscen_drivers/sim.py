"""`sim`: a tier that is computed, not touched. Three numbers of the scenario decide; the machine decides nothing.

A tier has `parallelism` = k servers and one pipe of `bandwidth` = B that they share. Operations are served in the order
in which they are submitted, whichever lane they come from. Operation i, submitted at s(i), of b(i) bytes:

    start(i)  = max(s(i), the time at which the earliest server is free)
    begin(i)  = max(start(i) + latency, end(i-1))       its bytes enter the pipe, one operation after the other
    end(i)    = begin(i) + b(i) / B                     the server is free again

Reads and writes cost the same; an operation without bytes (lookup, discard) passes the pipe in its turn, in no
time. Nothing is moved and nothing is kept: a tier that is simulated cannot be verified.

So a closed loop with n operations of b bytes in flight (n = all lanes together) settles, with m = min(n, k), at

    throughput = min(B, m b / (latency + b / B))

Times are kept as whole numbers of 1/numerator(B) ns, so b/B is exact and nothing drifts however long a run is. What
leaves the model is whole nanoseconds: `end` is rounded up, and since a caller can answer a completion only on its
clock, a loop that waits for each operation loses less than 1 ns for each.

The clock is virtual. It stands still while an operation is submitted and moves when a lane waits: to the end of what it
waits for, or by the whole timeout if that comes first. A lane with nothing in flight lets the timeout pass. Tiers that
are levels of one cache go by one clock, and each has servers and a pipe of its own.
"""

from __future__ import annotations

import errno
import mmap
from collections import deque
from collections.abc import Iterable, Sequence
from fractions import Fraction

import attrs
import numpy as np

from kvscen.plugin import (
    ERROR,
    KINDS,
    OK,
    READ,
    WRITE,
    Arena,
    Bandwidth,
    Count,
    Driver,
    DriverError,
    Duration,
    Finding,
    Layout,
    Limits,
    PathReport,
    Rows,
    Size,
    Store,
    Tier,
    VirtualLane,
    VirtualStore,
    Work,
    setting,
    show_bytes,
)

_NS = 10**9
# Linux: pages that are never touched are not held against the memory that there is. Not named by Python up to 3.12.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


@attrs.frozen
class SimSettings:
    bandwidth_bytes_per_s: Fraction = setting(  # noqa: RUF009 - an attrs field
        Bandwidth(minimum=Fraction(1)), help="of the pipe that all operations share"
    )
    latency_ns: int = setting(Duration(), help="of each operation, before its bytes enter the pipe")
    parallelism: int = setting(Count(), help="operations that are served at the same time")
    capacity_bytes: int | None = setting(
        Size(minimum=1), default=None, help="most bytes that the tier holds; without it there is no limit"
    )


class _Model:
    """The servers and the pipe. Times inside are ticks of `1 / self.ticks_per_ns` ns."""

    def __init__(self, settings: SimSettings) -> None:
        bandwidth = settings.bandwidth_bytes_per_s
        self.ticks_per_ns = bandwidth.numerator
        self._ticks_per_byte = _NS * bandwidth.denominator
        self._latency = settings.latency_ns * self.ticks_per_ns
        self._parallelism = settings.parallelism
        self.idle()

    def idle(self) -> None:
        """All servers and the pipe are free now."""
        self._busy: deque[int] = deque()  # when each server that is taken comes free; the ends come in order
        self._pipe_free = 0

    def serve(self, nbytes: int, now_ns: int) -> int:
        """When an operation that is submitted now ends, in ns, rounded up."""
        start = now_ns * self.ticks_per_ns
        if len(self._busy) == self._parallelism:
            start = max(start, self._busy.popleft())
        begin = max(start + self._latency, self._pipe_free)
        end = begin + nbytes * self._ticks_per_byte
        self._pipe_free = end
        self._busy.append(end)
        return -(-end // self.ticks_per_ns)


class SimArena(Arena):
    """Memory that is never touched, as nothing is moved: addresses alone, however much there is of it."""

    pages = "untouched"

    def __init__(self, nbytes: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self.view = np.frombuffer(mmap.mmap(-1, max(nbytes, 1), flags=flags), np.uint8, nbytes)
        self.address = int(self.view.ctypes.data)


class SimLane(VirtualLane):
    def __init__(self, store: SimStore) -> None:
        self._store = store
        self._model = store.model
        self._time = store.time
        #: (end, id, submit, bytes, errno), in the order of submission, which is the order of the ends.
        self._flying: deque[tuple[int, int, int, int, int]] = deque()

    def submit(self, ops: Rows) -> int:
        room = self._store.limits.max_in_flight - len(self._flying)
        accepted = ops[: max(room, 0)]
        serve, now = self._model.serve, self._time.now_ns
        for ident, key, offset, nbytes, kind in accepted[["id", "key", "offset", "bytes", "kind"]].tolist():
            good = self._store.holds(key, offset + nbytes) and kind < len(KINDS)
            moved = nbytes if good and kind in (READ, WRITE) else 0
            self._flying.append((serve(moved, now), ident, now, moved, 0 if good else errno.EINVAL))
        return len(accepted)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        flying, time = self._flying, self._time
        wanted = min(at_least, len(out))
        limit = time.now_ns + timeout_ns
        if wanted > 0 or not flying:
            last = flying[wanted - 1][0] if 0 < wanted <= len(flying) else limit
            time.advance_to(min(last, limit))
        count, now = 0, time.now_ns
        while flying and count < len(out) and flying[0][0] <= now:
            end, ident, submit, nbytes, code = flying.popleft()
            out[count] = (ident, submit, end, nbytes, 0, code, ERROR if code else OK, 0, 0)
            count += 1
        return count

    def next_event_ns(self) -> int | None:
        return self._flying[0][0] if self._flying else None

    def close(self) -> None:
        self._flying.clear()


class SimStore(VirtualStore):
    limits = Limits(alignment_bytes=1, max_in_flight=65536)

    def __init__(self, tier: Tier) -> None:
        super().__init__()
        self.tier = tier
        self.settings: SimSettings = tier.settings
        self.model = _Model(self.settings)
        self._layout: Layout | None = None

    def allocate(self, nbytes: int, memory: str) -> Arena:
        try:
            return SimArena(nbytes)
        except (MemoryError, OSError, OverflowError):
            raise DriverError(
                f"tier `{self.tier.name}`: {show_bytes(nbytes)} of buffers are more than a process has addresses for",
                "use a smaller block or depth",
            ) from None

    def prepare(self, layout: Layout) -> Sequence[int]:
        capacity = self.settings.capacity_bytes
        needed = max(layout.keys, layout.total_keys) * layout.stride_bytes
        if capacity is not None and needed > capacity:
            raise DriverError(
                f"tier `{self.tier.name}` holds {show_bytes(capacity)}, the pattern touches {show_bytes(needed)}",
                "raise the tier's capacity or lower the pattern's working_set",
            )
        self._layout = layout
        return range(0)

    def holds(self, key: int, end: int) -> bool:
        """Is this in the layout, if there is one yet?"""
        layout = self._layout
        return layout is None or (0 <= key - layout.first_key < layout.keys and end <= layout.stride_bytes)

    def lane(self, index: int, arena: Arena) -> SimLane:
        return SimLane(self)

    def reset(self) -> None:
        self.model.idle()

    def path(self) -> PathReport:
        return PathReport(
            "simulated", "computed from the bandwidth, latency and parallelism of the scenario; no byte moved"
        )


class SimDriver(Driver):
    name = "sim"
    summary = "A computed tier: bandwidth, latency and parallelism of the scenario, on a virtual clock."
    settings = SimSettings
    memory = frozenset({"dram", "vram"})
    max_processes = 1  # one clock
    virtual = True

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        capacity = tier.settings.capacity_bytes
        if capacity is not None and work.working_set_bytes > capacity:
            yield Finding(
                "KVS320",
                f"the pattern touches {show_bytes(work.working_set_bytes)}, the tier holds {show_bytes(capacity)}",
                setting="capacity",
                help="raise `capacity` or lower the pattern's `working_set`",
            )

    def most_bytes_per_s(self, tier: Tier, work: Work) -> Fraction:
        settings: SimSettings = tier.settings
        return settings.bandwidth_bytes_per_s

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> SimStore:
        return SimStore(tier)
