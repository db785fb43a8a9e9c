"""The lane: each operation, or each batch, is a transfer of NIXL's own, posted and then looked at until it has ended.

NIXL tells of no end by itself, so the lane looks at every transfer in flight in turn. That is how its users wait too;
the time between two looks is how well the end of a transfer is known. The bindings let go of the interpreter in each
call, so the lanes of a process do not keep each other waiting.
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

from kvscen.plugin import COMPLETION, ERROR, OPERATION, RAW_COMPLETION, WRITE, Arena, Clock, Lane, Layout, Rows
from kvscen_drivers.nixl.agent import ACTIVE, DONE, Agent, Blocks, Place, Request, errno_of
from kvscen_drivers.posix.places import Area

#: Operations whose requests are kept for posting them again.
_KEPT = 1 << 16
#: The words of an operation that say what it moves: key, offset, bytes, buffer, kind.
_WORDS, _IDENTITY = OPERATION.itemsize // 8, [1, 2, 3, 4, 8]
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


@attrs.define(eq=False, slots=True)
class Transfer:
    """Some operations that NIXL moves as one, which may be posted again and again. `rows` is what is reported of them;
    `identity` is that of any other that moves the same blocks the same way, None for what NIXL never sees."""

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
        self._clock = clock
        self._whole_batches = whole_batches
        # Transfers that are not in flight, those that were posted last at the end.
        self._kept: OrderedDict[Hashable, Transfer] = OrderedDict()
        self._again = again
        self._kept_operations = 0
        self._accepted = 0
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

    # ---- in

    def submit(self, ops: Rows) -> int:
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0 or self._closed:
            return 0
        ops = ops[:count]
        if self._whole_batches:
            self._line_up_batches(ops)
        else:
            self._line_up_singly(ops)
        self._accepted += count
        return count

    def _line_up_singly(self, ops: Rows) -> None:
        now = self._clock()
        for ident, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            identity = (key, offset, nbytes, buffer, kind)
            transfer = self._take_kept(identity)
            if transfer is None:
                block = self._block(*identity)
                if block is None:
                    self._refuse(ident, now)
                    continue
                rows = np.zeros(1, COMPLETION)
                rows["bytes"] = nbytes
                transfer = Transfer(rows, kind == WRITE, identity, (block,))
            transfer.rows["id"], transfer.rows["submit"] = ident, now
            self._waiting.append(transfer)

    def _line_up_batches(self, ops: Rows) -> None:
        now, first = self._clock(), 0
        batches = ops["batch"]
        ends = [len(ops)]
        if batches[0] != batches[-1]:
            ends = [*(np.flatnonzero(batches[1:] != batches[:-1]) + 1).tolist(), len(ops)]
        for end in ends:
            batch = ops[first:end]
            first = end
            identity = batch.view(np.uint64).reshape(-1, _WORDS)[:, _IDENTITY].tobytes()
            transfer = self._take_kept(identity)
            if transfer is None:
                self._line_up_new(batch, identity, now)
                continue
            transfer.rows["id"], transfer.rows["submit"] = batch["id"], now
            self._waiting.append(transfer)

    def _line_up_new(self, ops: Rows, identity: bytes, now: int) -> None:
        """A batch that has not been posted before: one transfer, or one for each change between reads and writes."""
        idents, blocks, writes = [], [], []
        for ident, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            block = self._block(key, offset, nbytes, buffer, kind)
            if block is None:
                self._refuse(ident, now)
                continue
            idents.append(ident)
            blocks.append(block)
            writes.append(kind == WRITE)
        changes = [at for at in range(1, len(writes)) if writes[at] != writes[at - 1]]
        whole, first = not changes and len(blocks) == len(ops), 0
        for end in (*changes, len(blocks)) if blocks else ():
            rows = np.zeros(end - first, COMPLETION)
            rows["id"], rows["submit"] = idents[first:end], now
            rows["bytes"] = [nbytes for _, _, nbytes in blocks[first:end]]
            self._waiting.append(Transfer(rows, writes[first], identity if whole else None, blocks[first:end]))
            first = end

    def _block(self, key: int, offset: int, nbytes: int, buffer: int, kind: int) -> tuple[int, int, int] | None:
        """What NIXL is told of an operation; None where it is no read or write of a block's own range."""
        spot = self._area.find(key, offset, nbytes)
        if spot is None or buffer + nbytes > self._arena_bytes or kind > WRITE:
            return None
        return self._address + buffer, spot[1], nbytes

    def _refuse(self, ident: int, now: int) -> None:
        rows = np.zeros(1, COMPLETION)
        rows[0] = (ident, now, now, 0, 0, errno.EINVAL, ERROR, 0, 0)
        self._ended.append(Transfer(rows))

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
            while self._waiting:
                self._post(self._waiting.popleft())
            if self._flying:
                self._look(clock)
                looks += 1
            if self._ended:
                count = self._report(out, count)
            waited = time.monotonic_ns() - began
            if count >= at_least or waited >= timeout_ns:
                break
            if not self._flying:
                time.sleep((timeout_ns - waited) / 1e9)
                break
        if looks:
            self.figures.looks += looks
            self.figures.looking_ns += time.monotonic_ns() - began
        return count

    def _post(self, transfer: Transfer) -> None:
        figures, clock = self.figures, self._clock
        began = clock()
        try:
            if transfer.request is None:
                transfer.request = self._request(transfer)
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

    def _request(self, transfer: Transfer) -> Request:
        return self._agent.request(transfer.write, transfer.blocks)

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
        self._ended.append(transfer)

    def _take_kept(self, identity: Hashable) -> Transfer | None:
        """The transfer that moves the same, if one is kept: it is in flight from now on."""
        transfer = self._kept.pop(identity, None)
        if transfer is not None:
            self._kept_operations -= len(transfer.rows)
            transfer.reported = 0
        return transfer

    def _keep(self, transfer: Transfer) -> None:
        """All of it is reported: it may be posted again."""
        if not self._again or transfer.request is None or transfer.identity is None:
            return
        self._take_kept(transfer.identity)  # where the same was in flight twice one of both is let go
        self._kept[transfer.identity] = transfer
        self._kept_operations += len(transfer.rows)
        while self._kept_operations > _KEPT and len(self._kept) > 1:
            self._kept_operations -= len(self._kept.popitem(last=False)[1].rows)

    def _fail(self, transfer: Transfer, error: Exception | None) -> None:
        """NIXL does not say which operation of a transfer failed: none of them counts."""
        if not self._told:
            self._told = True
            _log.error("a transfer of NIXL failed: %s (further ones are only counted)", error or "without a reason")
        code = errno.EIO if error is None else errno_of(error)
        transfer.rows["end"], transfer.rows["bytes"] = self._clock(), 0
        transfer.rows["outcome"], transfer.rows["errno"] = ERROR, code
        transfer.request = None
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
                self._keep(self._ended.popleft())
        return count

    # ---- the end

    def _drop_requests(self) -> None:
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
