"""Where the operations of requests come from that are known before: request by request, and what is decided about each.

Requests begin in their order. When one begins, all of its blocks are looked up and decided about at once
(`Store.decide`; a tier that is no cache keeps every block, which is decided here). Then come its reads, then its
writes, before those of the next request. So which operations there are, and in which order they are submitted, follows
from the requests and the tier alone; when they are is up to the pace and the tier. Computing takes no time: writes do
not wait for the reads of their request.

Those of users who converse (`Requests.script`) are steps of requests. One begins when those before it have begun, its
user's last one has ended, and its time has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.measure.first_token import FirstToken
from kvscen.measure.gauge import Gauge
from kvscen.pattern.talking import NEVER, Talked, Talking, looks_up
from kvscen.plugin.contract import OPERATION, READ, WRITE, Decided, Rows
from kvscen.trace.requests import LOAD, Requests

_ROWS = 4096

Decide = Callable[[Sequence[int], bool], Decided | None]


@attrs.frozen
class LookedUp:
    """What was decided about requests. `prefix_hits` are the blocks found before the first of their request that was
    not. `operations` follow from it; `sequence` is a hash of them in their order. `occupancy`: (time, blocks that each
    level of the cache held then). `talked` is there where users converse."""

    requests: int
    lookups: int
    hits: int
    prefix_hits: int
    operations: int
    sequence: str
    occupancy: tuple[tuple[int, tuple[int, ...]], ...] = ()
    talked: Talked | None = None


class _UnderWay:
    """A request, or a step of one, that has begun: operations that have not ended, the first submission and the last
    end of the others."""

    __slots__ = ("end_ns", "left", "submit_ns")

    def __init__(self, left: int) -> None:
        self.left = left
        self.submit_ns = NEVER
        self.end_ns = 0


class ReplaySource:
    """The operations of the one lane, to the end of the requests. In a closed loop (`users`) so many of them are under
    way at most; by the trace's times (`speed`) they become due at start + arrival / speed, whatever is under way; those
    of a script have a pace of their own, unless they `hurry`."""

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
        hurry: bool = False,
        gauge: Gauge | None = None,
    ) -> None:
        """`block_bytes` is the length of an operation (padding included). One of `users` and `speed` is given."""
        self._keys = requests.keys + first_key
        self._first_key = first_key
        self._bounds = requests.offsets.tolist()
        self._decide = decide
        self._users = users
        self._arrivals = None if speed is None else _scaled(requests, speed)
        script = requests.script
        self._talking = None if script is None else Talking(script, hurry)
        self._hurry = hurry
        self._actions: list[int] | None = None if script is None else script.action.tolist()
        self._gauge = gauge
        self._start_ns = 0
        self._next = 0
        #: Operations of each request, int64[requests]: 0 before it has begun.
        self.sizes = np.zeros(len(requests), np.int64)
        self._open: dict[int, _UnderWay] = {}
        self.first_token = FirstToken(len(requests), requests.block_tokens)
        largest = int(np.diff(requests.offsets).max(initial=1))
        self._rows = np.zeros(_ROWS + 4 * largest, OPERATION)
        self._rows["bytes"] = block_bytes
        self._block_bytes = block_bytes
        self._used = self._filled = 0
        # Of a tier that is no cache: what was given to it, and what it has. A block is not read before it is written.
        self._kept: npt.NDArray[np.bool_] = np.zeros(requests.distinct, np.bool_)
        self._there: npt.NDArray[np.bool_] | None = None
        self._stored = 0 if script is None else script.stored
        self._kept[: self._stored] = True
        self._blocked = False
        self._begun = self._lookups = self._hits = self._prefix_hits = self._operations = 0
        self._hash = hashlib.blake2b(digest_size=8)

    # ---- what a loop asks of a source

    @property
    def open_loop(self) -> bool:
        """Are latencies counted from when operations are due? Users wait for what is under way before them."""
        return self._arrivals is not None or (self._talking is not None and not self._hurry)

    def start(self, now: int) -> None:
        """The time from which the requests' times count."""
        self._start_ns = now
        if self._talking is not None:
            self._talking.start(now)

    @property
    def next_due_ns(self) -> int:
        if self._filled > self._used:
            return NEVER if self._blocked else 0
        return self._next_begins()

    def due_by(self, now: int) -> int:
        """Nothing is left out: requests go to their end."""
        return 0

    def next(self, count: int, now: int) -> Rows:
        """At most `count` operations. The rows are valid until the next call."""
        while self._filled - self._used < count and self._next_begins() <= now:
            self._begin(self._next, now)
            self._next += 1
        rows = self._rows[self._used : min(self._used + count, self._filled)]
        if self._there is not None:
            missing = (rows["kind"] == READ) & ~self._there[rows["key"].astype(np.int64) - self._first_key]
            self._blocked = bool(missing.any())
            if self._blocked:
                rows = rows[: int(missing.argmax())]
        self._used += len(rows)
        if not self.open_loop:
            rows["due"] = now
        return rows

    # ---- what only this source has

    @property
    def request_sizes(self) -> npt.NDArray[np.int64] | None:
        """Of each request how many operations it has; None where requests have steps, and times of their own."""
        return self.sizes if self._talking is None else None

    @property
    def ended(self) -> bool:
        """There are no more operations."""
        return self._next == len(self.sizes) and self._used == self._filled

    def done(self, ops: Rows, completions: Rows) -> None:
        """These have ended, well or not."""
        self.first_token.done(ops, completions)
        under_way = self._open
        times = zip(ops["request"].tolist(), completions["submit"].tolist(), completions["end"].tolist(), strict=True)
        for number, submit, end in times:
            own = under_way[number]
            own.left -= 1
            if submit < own.submit_ns:
                own.submit_ns = submit
            if end > own.end_ns:
                own.end_ns = end
            if not own.left:
                del under_way[number]
                if self._talking is not None:
                    self._talking.end(number, own.submit_ns, own.end_ns)
        if self._there is not None:
            self._there[ops["key"][ops["kind"] == WRITE].astype(np.int64) - self._first_key] = True

    def looked_up(self, now: int) -> LookedUp:
        return LookedUp(
            self._begun,
            self._lookups,
            self._hits,
            self._prefix_hits,
            self._operations,
            self._hash.hexdigest(),
            () if self._gauge is None else self._gauge.readings(now),
            None if self._talking is None else self._talking.talked(),
        )

    # ---- a request

    def _next_begins(self) -> int:
        """When the next request may begin: NEVER where that depends on one that is under way, 0 where it is now."""
        number = self._next
        if number == len(self.sizes):
            return NEVER
        if self._talking is not None:
            return self._talking.when(number)
        if self._arrivals is not None:
            return self._start_ns + int(self._arrivals[number])
        return 0 if len(self._open) < (self._users or 1) else NEVER

    def _begin(self, number: int, now: int) -> None:
        start, stop = self._bounds[number], self._bounds[number + 1]
        keys = self._keys[start:stop]
        action = LOAD if self._actions is None else self._actions[number]
        self._begun += action == LOAD
        due, talking = self._next_begins(), self._talking
        if talking is not None:
            talking.begin(number, due, now)
        if not len(keys):
            return
        look_up = looks_up(action)
        decided = self._decide(keys.tolist(), look_up)
        if decided is None:
            decided = self._keep(keys)
        found = decided.found
        if action == LOAD:
            self.first_token.begin(number, due if self.open_loop else now, found, start)
        hits = len(found) - found.count(-1)
        if look_up:
            self._lookups += len(found)
            self._hits += hits
            self._prefix_hits += found.index(-1) if -1 in found else len(found)
            if talking is not None:
                talking.looked_up(talking.script.lookup_kind[start:stop], found)
        if self._gauge is not None:
            self._gauge.look(now)
        reads = keys if hits == len(found) else keys[np.array(found, np.int64) >= 0]
        writes = np.array(decided.writes, np.int64)
        # Which request, what it reads, what it writes.
        self._hash.update(np.concatenate([[number], reads, ~writes]).astype("<i8").tobytes())
        count = len(reads) + len(writes)
        self.sizes[number] = count
        self._operations += count
        if not count:
            if talking is not None:
                talking.end(number, now, now)
            return
        self._open[number] = _UnderWay(count)
        rows = self._room(count)
        rows["key"][: len(reads)], rows["key"][len(reads) :] = reads, writes
        rows["kind"][: len(reads)], rows["kind"][len(reads) :] = READ, WRITE
        rows["request"] = number
        rows["due"] = due

    def _keep(self, keys: npt.NDArray[np.int64]) -> Decided:
        """Of a tier that keeps every block."""
        if self._there is None:
            self._there = self._kept.copy()
            self._there[self._stored :] = False
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
