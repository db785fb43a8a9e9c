"""Where the operations of a replay come from: its trace, request by request, and what is decided about each.

Requests begin in the order of the trace. When one begins, all of its blocks are looked up and decided about at once
(`Store.decide`; a tier that is no cache keeps every block, which is decided here). Then come its reads, then its
writes, before those of the next request. So which operations there are, and in which order they are submitted, follows
from the trace and the tier alone; when they are is up to the pace and the tier. Computing takes no time: writes do not
wait for the reads of their request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.measure.first_token import FirstToken
from kvscen.plugin.contract import OPERATION, READ, WRITE, Decided, Rows
from kvscen.trace.requests import Requests

_NEVER = 2**63 - 1
_ROWS = 4096

Decide = Callable[[Sequence[int]], Decided | None]


@attrs.frozen
class LookedUp:
    """What was decided in a replay. `prefix_hits` are the blocks found before the first of their request that was not.
    `operations` follow from it; `sequence` is a hash of them in their order."""

    requests: int
    lookups: int
    hits: int
    prefix_hits: int
    operations: int
    sequence: str


class ReplaySource:
    """The operations of the one lane, to the end of the trace. In a closed loop (`users`) so many requests are under
    way at most; by the trace's times (`speed`) they become due at start + arrival / speed, whatever is under way."""

    kind = None

    def __init__(
        self,
        requests: Requests,
        decide: Decide,
        block_bytes: int,
        *,
        first_key: int = 0,
        users: int | None = None,
        speed: Fraction | None = None,
    ) -> None:
        """`block_bytes` is the length of an operation (padding included). One of `users` and `speed` is given."""
        self._keys = requests.keys + first_key
        self._first_key = first_key
        self._bounds = requests.offsets.tolist()
        self._decide = decide
        self._users = users
        self._arrivals = None if speed is None else _scaled(requests, speed)
        self._start_ns = 0
        self._next = 0
        #: Operations of each request, int64[requests]: 0 before it has begun.
        self.sizes = np.zeros(len(requests), np.int64)
        #: Operations that have not ended, of each request that is under way.
        self._open: dict[int, int] = {}
        self.first_token = FirstToken(len(requests), requests.block_tokens)
        largest = int(np.diff(requests.offsets).max(initial=1))
        self._rows = np.zeros(_ROWS + 4 * largest, OPERATION)
        self._rows["bytes"] = block_bytes
        self._block_bytes = block_bytes
        self._used = self._filled = 0
        # Of a tier that is no cache: what was given to it, and what it has. A block is not read before it is written.
        self._kept: npt.NDArray[np.bool_] = np.zeros(requests.distinct, np.bool_)
        self._there: npt.NDArray[np.bool_] | None = None
        self._blocked = False
        self._lookups = self._hits = self._prefix_hits = self._operations = 0
        self._hash = hashlib.blake2b(digest_size=8)

    # ---- what a loop asks of a source

    @property
    def open_loop(self) -> bool:
        return self._arrivals is not None

    def start(self, now: int) -> None:
        """The time from which the trace's times count."""
        self._start_ns = now

    @property
    def next_due_ns(self) -> int:
        if self._filled > self._used:
            return _NEVER if self._blocked else 0
        if self._arrivals is None:
            return 0
        return self._start_ns + int(self._arrivals[self._next]) if self._next < len(self.sizes) else _NEVER

    def due_by(self, now: int) -> int:
        """Nothing is left out: a replay goes to its end."""
        return 0

    def next(self, count: int, now: int) -> Rows:
        """At most `count` operations. The rows are valid until the next call."""
        while self._filled - self._used < count and self._may_begin(now):
            self._begin(self._next, now)
            self._next += 1
        rows = self._rows[self._used : min(self._used + count, self._filled)]
        if self._there is not None:
            missing = (rows["kind"] == READ) & ~self._there[rows["key"].astype(np.int64) - self._first_key]
            self._blocked = bool(missing.any())
            if self._blocked:
                rows = rows[: int(missing.argmax())]
        self._used += len(rows)
        if self._arrivals is None:
            rows["due"] = now
        return rows

    # ---- what only a replay has

    @property
    def ended(self) -> bool:
        """There are no more operations."""
        return self._next == len(self.sizes) and self._used == self._filled

    def done(self, ops: Rows, completions: Rows) -> None:
        """These have ended, well or not."""
        self.first_token.done(ops, completions)
        under_way = self._open
        for number in ops["request"].tolist():
            left = under_way[number] - 1
            if left:
                under_way[number] = left
            else:
                del under_way[number]
        if self._there is not None:
            self._there[ops["key"][ops["kind"] == WRITE].astype(np.int64) - self._first_key] = True

    def looked_up(self) -> LookedUp:
        return LookedUp(
            self._next,
            self._lookups,
            self._hits,
            self._prefix_hits,
            self._operations,
            self._hash.hexdigest(),
        )

    # ---- a request

    def _may_begin(self, now: int) -> bool:
        if self._next == len(self.sizes):
            return False
        if self._arrivals is not None:
            return self._start_ns + int(self._arrivals[self._next]) <= now
        return len(self._open) < (self._users or 1)

    def _begin(self, number: int, now: int) -> None:
        keys = self._keys[self._bounds[number] : self._bounds[number + 1]]
        if not len(keys):
            return
        decided = self._decide(keys.tolist())
        if decided is None:
            decided = self._keep(keys)
        found = decided.found
        due = now if self._arrivals is None else self._start_ns + int(self._arrivals[number])
        self.first_token.begin(number, due, found, self._bounds[number])
        hits = len(found) - found.count(-1)
        self._lookups += len(found)
        self._hits += hits
        self._prefix_hits += found.index(-1) if -1 in found else len(found)
        reads = keys if hits == len(found) else keys[np.array(found, np.int64) >= 0]
        writes = np.array(decided.writes, np.int64)
        # Which request, what it reads, what it writes.
        self._hash.update(np.concatenate([[number], reads, ~writes]).astype("<i8").tobytes())
        count = len(reads) + len(writes)
        self.sizes[number] = count
        self._operations += count
        if not count:
            return
        self._open[number] = count
        rows = self._room(count)
        rows["key"][: len(reads)], rows["key"][len(reads) :] = reads, writes
        rows["kind"][: len(reads)], rows["kind"][len(reads) :] = READ, WRITE
        rows["request"] = number
        rows["due"] = due

    def _keep(self, keys: npt.NDArray[np.int64]) -> Decided:
        """Of a tier that keeps every block."""
        if self._there is None:
            self._there = np.zeros(len(self._kept), np.bool_)
        known = self._kept[keys - self._first_key]
        fresh = list(dict.fromkeys(keys[~known].tolist()))
        self._kept[np.array(fresh, np.int64) - self._first_key] = True
        return Decided((known.astype(np.int64) - 1).tolist(), fresh)

    def _room(self, count: int) -> Rows:
        """Rows for so many more operations, behind those that were not asked for yet."""
        if self._filled + count > len(self._rows):
            left = self._rows[self._used : self._filled].copy()
            if len(left) + count > len(self._rows):
                self._rows = np.zeros(2 * (len(left) + count), OPERATION)
                self._rows["bytes"] = self._block_bytes
            self._rows[: len(left)] = left
            self._used, self._filled = 0, len(left)
        first, self._filled = self._filled, self._filled + count
        return self._rows[first : self._filled]


def _scaled(requests: Requests, speed: Fraction) -> npt.NDArray[np.int64]:
    """When each request comes, since the first. Exact in whole nanoseconds."""
    assert requests.arrival_ns is not None, "a checked pattern"
    return np.array([each * speed.denominator // speed.numerator for each in requests.arrival_ns.tolist()], np.int64)
