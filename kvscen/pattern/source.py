"""Where a lane's operations come from: which key, read or write, due when. Everything is drawn from the seed.

Draws come from a bit generator's raw output through our own transforms, so that they are the same on every machine and
with every version of numpy.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kvscen.pattern.draw import UInt64s
from kvscen.pattern.elementary import log
from kvscen.pattern.order import CHUNK, Keys, order_of
from kvscen.plan.point import Work
from kvscen.plan.traffic import Step, Traffic
from kvscen.plugin.contract import NO_REQUEST, OPERATION, READ, WRITE, Rows

_NEVER = 2**63 - 1


class LaneSource:
    """The operations of one lane, without end. `next_due_ns` tells an open loop when the next one is due.

    A closed loop's operations are due when they are asked for. An open loop's are due at start + i x interval
    (`constant`) or with exponential gaps (`poisson`); of N lanes each carries 1/N of the rate, lane i shifted by i/N of
    an interval.
    """

    def __init__(
        self,
        work: Work,
        keys: Keys,
        block_bytes: int,
        seed: int,
        lane: int = 0,
        lanes: int = 1,
        kind: int | None = None,
    ) -> None:
        """`block_bytes` is the length of an operation (padding included). `kind` overrides the work's operation."""
        self._keys = keys
        self._order = order_of(work, keys.count, seed)
        self._draws = np.random.PCG64(seed + 1)
        fixed = {"read": READ, "write": WRITE, "mixed": None}[work.op] if kind is None else kind
        #: What all operations are; None where they are drawn.
        self.kind = fixed
        self._read_threshold = int(work.read_share * 2**32)
        self._batch = work.batch
        self._request = work.request_blocks
        # Batches are handed out whole, whatever is left of a chunk: 1 where operations are handed out by themselves.
        self._whole = work.batch if work.wait == "batch" and work.rate_per_s is None else 1
        self._most = max(CHUNK, self._whole)
        self._rows = np.zeros(CHUNK if self._whole == 1 else self._most + CHUNK, OPERATION)
        self._rows["bytes"] = block_bytes
        self._rows["request"] = NO_REQUEST
        if fixed is not None:
            self._rows["kind"] = fixed
        self._due = np.full(CHUNK, _NEVER, np.int64)
        self._used = CHUNK
        self._filled = CHUNK
        self._sequence = 0
        self._rate = None if work.rate_per_s is None or kind is not None else work.rate_per_s / lanes
        self._poisson = work.arrival == "poisson"
        self._lane_share = Fraction(lane, lanes)
        self._arrivals = 0
        self._start_ns = 0
        self._last_due = 0.0

    @property
    def open_loop(self) -> bool:
        return self._rate is not None

    def start(self, now: int) -> None:
        """The time from which an open loop's due times count."""
        self._start_ns = now
        self._last_due = float(now)

    @property
    def next_due_ns(self) -> int:
        """When the next operation is due; for a closed loop always in the past."""
        if self._rate is None:
            return 0
        if self._used >= self._filled:
            self._fill()
        return int(self._due[self._used])

    def due_by(self, now: int) -> int:
        """How many operations are due and were not asked for: the backlog at the end of a load.

        Poisson arrivals that are not drawn yet are counted by their mean.
        """
        if self._rate is None:
            return 0
        if self._poisson:
            beyond = max(0.0, now - self._last_due) * 1e-9 * float(self._rate)
            return int((self._due[self._used : self._filled] <= now).sum()) + round(beyond)
        drawn = self._arrivals - (self._filled - self._used)
        due = int((Fraction(now - self._start_ns, 10**9)) * self._rate - self._lane_share) + 1
        return max(0, due - drawn)

    def next(self, count: int, now: int) -> Rows:
        """At most `count` operations that are due at `now`; of a closed loop that waits for batches, whole ones as long
        as `count` is. The rows are valid until the next call.
        """
        wanted = 1 if self._whole == 1 else min(count, self._most)
        while self._filled - self._used < wanted:
            self._fill()
        count = min(count, self._filled - self._used)
        if count > self._whole:
            count -= count % self._whole
        stop = self._used + count
        if self._rate is None:
            rows = self._rows[self._used : stop]
            rows["due"] = now
        else:
            stop = self._used + int(np.searchsorted(self._due[self._used : stop], now, side="right"))
            rows = self._rows[self._used : stop]
        self._used = stop
        return rows

    def _fill(self) -> None:
        left = self._filled - self._used
        if not left or self._filled + CHUNK > len(self._rows):
            self._rows[:left] = self._rows[self._used : self._filled].copy()
            self._used, self._filled = 0, left
        keys = self._order.chunk()
        count = len(keys)
        rows = self._rows[self._filled : self._filled + count]
        rows["key"] = keys + np.uint64(self._keys.first)
        if self.kind is None:
            draws = self._draws.random_raw(count) >> np.uint64(32)
            rows["kind"] = np.where(draws < self._read_threshold, READ, WRITE)
        sequence = np.arange(self._sequence, self._sequence + count, dtype=np.uint64)
        rows["batch"] = sequence // np.uint64(self._batch)
        if self._request is not None:
            rows["request"] = sequence // np.uint64(self._request)
        self._sequence += count
        if self._rate is not None:
            self._due[:count] = self._arrivals_due(count)
            rows["due"] = self._due[:count]
        self._filled += count

    def _arrivals_due(self, count: int) -> npt.NDArray[np.int64]:
        assert self._rate is not None
        if self._poisson:
            draws = (self._draws.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
            gaps = -log(1.0 - draws) * (1e9 / float(self._rate))
            due = self._last_due + np.cumsum(gaps)
            self._last_due = float(due[-1])
            return due.astype(np.int64)
        # Exact: the i-th due time is start + (i + lane/lanes) x 1e9 / rate, without an error that grows.
        numerator = 10**9 * self._rate.denominator * self._lane_share.denominator
        divisor = self._rate.numerator * self._lane_share.denominator
        shift = self._lane_share.numerator * 10**9 * self._rate.denominator
        exact = [self._start_ns + ((self._arrivals + i) * numerator + shift) // divisor for i in range(count)]
        self._arrivals += count
        return np.array(exact, np.int64)


class ListSource:
    """One operation for each key of a list, in its order: for laying out data."""

    open_loop = False
    next_due_ns = 0

    def __init__(self, keys: UInt64s, kind: int, block_bytes: int) -> None:
        self._rows = np.zeros(len(keys), OPERATION)
        self._rows["key"] = keys
        self._rows["kind"] = kind
        self._rows["bytes"] = block_bytes
        self._used = 0

    def due_by(self, now: int) -> int:
        return 0

    def next(self, count: int, now: int) -> Rows:
        rows = self._rows[self._used : self._used + count]
        self._used += len(rows)
        return rows


class StepSource:
    """What one rank sends, a step at a time: `turn_to` says which step is next. The key of an operation is the rank
    that it goes to, its offset a byte of that rank's memory."""

    open_loop = False
    next_due_ns = 0
    kind = WRITE

    def __init__(self, traffic: Traffic, rank: int) -> None:
        self._steps = [_rows_of(step, rank, number) for number, step in enumerate(traffic.steps)]
        self._rows = np.zeros(0, OPERATION)
        self._used = 0

    def turn_to(self, step: int) -> int:
        """The operations from now on; how many they are."""
        self._rows, self._used = self._steps[step], 0
        return len(self._rows)

    def due_by(self, now: int) -> int:
        return 0

    def next(self, count: int, now: int) -> Rows:
        rows = self._rows[self._used : self._used + count]
        self._used += len(rows)
        rows["due"] = now
        return rows


def _rows_of(step: Step, rank: int, number: int) -> Rows:
    own = [(flow, here, there) for flow, here, there in step.placed() if flow.sender == rank]
    rows = np.zeros(len(own), OPERATION)
    rows["kind"], rows["batch"], rows["request"] = WRITE, number, number
    if own:
        rows["key"] = [flow.receiver for flow, _, _ in own]
        rows["bytes"] = [flow.nbytes for flow, _, _ in own]
        rows["buffer"] = [here for _, here, _ in own]
        rows["offset"] = [there for _, _, there in own]
    return rows
