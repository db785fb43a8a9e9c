"""The lane: each operation, or each batch, is a transfer of NIXL's own, posted and then looked at until it has ended.

NIXL tells of no end by itself, so the lane looks at every transfer in flight in turn. That is how its users wait too; the
time between two looks is how well the end of a transfer is known.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import COMPLETION, ERROR, RAW_COMPLETION, WRITE, Arena, Clock, Lane, Layout, Rows
from kvscen_drivers.nixl.agent import ACTIVE, DONE, Agent, Blocks, Place, Request, errno_of
from kvscen_drivers.posix.places import Area

#: Operations whose requests are kept for posting them again.
_KEPT = 1 << 16
#: How long `close` waits for what is in flight.
_CLOSE_S = 1.0

_log = logging.getLogger("kvscen.driver")
#: Agents with transfers that never ended: taking them down would wait for these.
_left_behind: list[Agent] = []


@attrs.define
class Figures:
    """What a lane has seen of NIXL since `Figures` was made; times in ns."""

    transfers: int = 0
    made: int = 0
    making_ns: int = 0
    posting_ns: int = 0
    moving_ns: int = 0
    looks: int = 0
    looking_ns: int = 0


@attrs.define(eq=False)
class Transfer:
    """Some operations that NIXL moves as one. `rows` will be reported for them; `identity` is that of any other that
    moves the same `blocks` the same way."""

    rows: Rows
    write: bool = False
    identity: Hashable = None
    blocks: Blocks = ()
    request: Request = None
    posted_ns: int = 0
    reported: int = 0


class NixlLane(Lane):
    """At most `depth` operations. Those of one batch are one transfer where `whole_batches`, else each is one.

    What `submit` accepts is posted at the next `reap`. `again`: requests are kept and posted again. `sign`, if any, is
    a word that is counted up whenever the lane is used.
    """

    def __init__(
        self,
        agent: Agent,
        arena: Arena,
        depth: int,
        clock: Clock,
        *,
        whole_batches: bool,
        again: bool,
        sign: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.figures = Figures()
        self._agent = agent
        self._area = Area()
        self._sign = sign
        self.view = arena.view  # NIXL is told addresses: the memory must stay
        self._address, self._arena_bytes = arena.address, arena.nbytes
        self._depth = depth
        self._limit = depth
        self._clock = clock
        self._starts = False
        self._whole_batches = whole_batches
        # Requests that are not in flight, those that were posted last at the end, with the operations that each moves.
        self._kept: OrderedDict[Hashable, tuple[Request, int]] | None = OrderedDict() if again else None
        self._kept_operations = 0
        self._accepted = self._flying_operations = 0
        self._waiting: deque[Transfer] = deque()
        self._flying: list[Transfer] = []
        # Ended, and not all of it reported yet.
        self._ended: deque[Transfer] = deque()
        self._told = self._closed = False
        self._busy = threading.Lock()

    def turn_to(self, place: Place, layout: Layout) -> None:
        """Where the blocks are from now on. Nothing is in flight."""
        self._drop_requests()
        self._area.place(layout)
        self._agent.turn_to(place)

    @property
    def closed(self) -> bool:
        return self._closed

    def limit(self, in_flight: int) -> None:
        self._limit = in_flight
        self._starts = True

    # ---- in

    def submit(self, ops: Rows) -> int:
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0 or self._closed:
            return 0
        ops = ops[:count]
        now = self._clock()
        refused = self._area.refuses(ops, self._arena_bytes)
        if np.count_nonzero(refused):
            for index in np.flatnonzero(refused).tolist():
                self._ended.append(self._refused(ops[index : index + 1], now))
            ops = ops[~refused]
        if len(ops):
            self._accept(ops, now)
        self._accepted += count
        return count

    def _accept(self, ops: Rows, now: int) -> None:
        """Copy what is needed of the operations and line up their transfers."""
        rows = np.zeros(len(ops), COMPLETION)
        rows["id"], rows["submit"], rows["bytes"] = ops["id"], now, ops["bytes"].astype(np.int64)
        blocks = np.empty((len(ops), 3), np.uint64)
        blocks[:, 0], blocks[:, 2] = ops["buffer"] + np.uint64(self._address), ops["bytes"]
        blocks[:, 1] = self._area.spots(ops)[1]
        writes = ops["kind"] == WRITE
        if not self._whole_batches:
            for index, (write, block) in enumerate(zip(writes.tolist(), blocks.tolist(), strict=True)):
                self._waiting.append(Transfer(rows[index : index + 1], write, (write, *block), (block,)))
            return
        # A new transfer where the batch or the kind of operation changes: NIXL's read or write.
        changes = (ops["batch"][1:] != ops["batch"][:-1]) | (writes[1:] != writes[:-1])
        first = 0
        for end in (*(np.flatnonzero(changes) + 1).tolist(), len(ops)):
            write, part = bool(writes[first]), blocks[first:end]
            self._waiting.append(Transfer(rows[first:end], write, (write, part.tobytes()), part))
            first = end

    def _refused(self, op: Rows, now: int) -> Transfer:
        rows = np.zeros(1, COMPLETION)
        rows[0] = (op["id"][0], now, now, 0, 0, errno.EINVAL, ERROR, 0, 0)
        return Transfer(rows)

    # ---- out

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        if self._sign is not None:
            self._sign[0] += 1
        with self._busy:
            return 0 if self._closed else self._reap(out, min(at_least, len(out)), timeout_ns)

    def _reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        clock = self._clock
        began = time.monotonic_ns()
        looks = count = 0
        while True:
            if self._waiting:
                self._start()
            if self._flying:
                self._look(clock)
                looks += 1
            if self._ended:
                count = self._report(out, count)
            if count >= at_least and not self._startable:
                break
            waited = time.monotonic_ns() - began
            if waited >= timeout_ns:
                break
            if not self._flying:
                time.sleep((timeout_ns - waited) / 1e9)
                break
            time.sleep(0)  # other lanes of this process want the interpreter too
        if looks:
            self.figures.looks += looks
            self.figures.looking_ns += time.monotonic_ns() - began
        return count

    @property
    def _startable(self) -> bool:
        return bool(self._waiting) and self._flying_operations < self._limit

    def _start(self) -> None:
        """Post what may be in flight. A transfer that is larger than what may be in flight goes alone."""
        while self._waiting:
            transfer = self._waiting[0]
            if self._flying and self._flying_operations + len(transfer.rows) > self._limit:
                return
            self._waiting.popleft()
            self._flying_operations += len(transfer.rows)
            self._post(transfer)

    def _post(self, transfer: Transfer) -> None:
        figures, clock = self.figures, self._clock
        began = clock()
        if self._starts:
            transfer.rows["submit"] = began
        try:
            transfer.request = self._take_kept(transfer.identity)
            if transfer.request is None:
                transfer.request = self._agent.request(transfer.write, transfer.blocks)
                figures.made += 1
            made = clock()
            state = self._agent.post(transfer.request)
        except Exception as error:  # the bindings have error classes of their own
            self._fail(transfer, error)
            return
        posted = clock()
        figures.transfers += 1
        figures.making_ns += made - began
        figures.posting_ns += posted - made
        transfer.posted_ns = posted
        if state == ACTIVE:
            self._flying.append(transfer)
        elif state == DONE:
            self._end(transfer, posted)
        else:
            self._fail(transfer, None)

    def _look(self, clock: Clock) -> None:
        """At each transfer in flight, once."""
        look = self._agent.look
        flying = []
        for transfer in self._flying:
            try:
                state = look(transfer.request)
            except Exception as error:  # the bindings have error classes of their own
                self._fail(transfer, error)
                continue
            if state == ACTIVE:
                flying.append(transfer)
            elif state == DONE:
                now = clock()
                self.figures.moving_ns += now - transfer.posted_ns
                self._end(transfer, now)
            else:
                self._fail(transfer, None)
        self._flying = flying

    def _end(self, transfer: Transfer, now: int) -> None:
        """All of a transfer's operations end with it."""
        transfer.rows["end"] = now
        self._flying_operations -= len(transfer.rows)
        self._ended.append(transfer)
        self._keep(transfer)

    def _take_kept(self, identity: Hashable) -> Request:
        """A request that moves the same, if one is kept: it is in flight from now on."""
        if self._kept is None or identity not in self._kept:
            return None
        request, operations = self._kept.pop(identity)
        self._kept_operations -= operations
        return request

    def _keep(self, transfer: Transfer) -> None:
        request, transfer.request = transfer.request, None
        if self._kept is None:
            return
        self._take_kept(transfer.identity)  # where the same was in flight twice one of both is let go
        self._kept[transfer.identity] = request, len(transfer.rows)
        self._kept_operations += len(transfer.rows)
        while self._kept_operations > _KEPT and len(self._kept) > 1:
            _, (_, operations) = self._kept.popitem(last=False)
            self._kept_operations -= operations

    def _fail(self, transfer: Transfer, error: Exception | None) -> None:
        """NIXL does not say which operation of a transfer failed: none of them counts."""
        if not self._told:
            self._told = True
            _log.error("a transfer of NIXL failed: %s (further ones are only counted)", error or "without a reason")
        code = errno.EIO if error is None else errno_of(error)
        transfer.rows["end"], transfer.rows["bytes"] = self._clock(), 0
        transfer.rows["outcome"], transfer.rows["errno"] = ERROR, code
        transfer.request = None
        self._flying_operations -= len(transfer.rows)
        self._ended.append(transfer)

    def _report(self, out: Rows, count: int) -> int:
        while self._ended and count < len(out):
            transfer = self._ended[0]
            left = len(transfer.rows) - transfer.reported
            part = min(left, len(out) - count)
            rows = transfer.rows[transfer.reported : transfer.reported + part]
            out[count : count + part].view(RAW_COMPLETION)[:] = rows.view(RAW_COMPLETION)
            count += part
            transfer.reported += part
            self._accepted -= part
            if part == left:
                self._ended.popleft()
        return count

    # ---- the end

    def _drop_requests(self) -> None:
        if self._kept is not None:
            self._kept.clear()
        self._kept_operations = 0

    def close(self) -> None:
        """Waits a second for what is in flight. What hangs longer is left behind, with its agent."""
        if self._closed or not self._busy.acquire(timeout=_CLOSE_S):
            self._closed = True  # another thread hangs in NIXL: it goes with the process
            return
        try:
            self._closed = True
            self._waiting.clear()
            deadline = time.monotonic() + _CLOSE_S
            while self._flying and time.monotonic() < deadline:
                self._look(self._clock)
            self._ended.clear()
            self._drop_requests()
            if self._flying:
                _left_behind.append(self._agent)
            else:
                self._agent.close()
        finally:
            self._busy.release()
