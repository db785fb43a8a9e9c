"""A line whose values do not travel over its connection: the server says where they lie, and the lane moves the bytes.

A read asks where its value is (LEND), moves the bytes and gives the lease back (RELEASE); a write asks for room
(RESERVE), moves the bytes and says that they are there (COMMIT).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence

from kvscen.plugin import Lost
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.client import Endpoint
from kvscen_drivers.memkv.line import Broken, Item, Line, Unit
from kvscen_drivers.memkv.protocol import ANSWER, ANSWER_MARK, KEY_BYTES, LEASE, PLACE, REQUEST, Op
from kvscen_drivers.memkv.reach import Failed, Reach

#: A GET becomes a LEND and a PUT a RESERVE by the byte of the head that names the operation.
_OP = 2
_AS = {int(Op.GET): int(Op.LEND), int(Op.PUT): int(Op.RESERVE)}
_AS_BYTE = {op: bytes([lent]) for op, lent in _AS.items()}


class _Move:
    """Bytes on their way between a lane's buffers and a server's memory."""

    __slots__ = ("lease", "tickets", "unit")

    def __init__(self, unit: Unit, lease: int, tickets: list[int]) -> None:
        self.unit, self.lease, self.tickets = unit, lease, tickets


class LentLine(Line):
    """`reach` moves the bytes. `moved_operations` and `moved_bytes` are what it has moved."""

    moves = True
    # The lease is given back together with others: its own bytes, without a head.
    overhead_bytes = REQUEST.size + KEY_BYTES + ANSWER.size + PLACE.size + LEASE.size

    def __init__(self, transport: str, endpoint: Endpoint, server: int, sock: socket.socket, reach: Reach) -> None:
        super().__init__(endpoint, server, sock)
        self.transport, self.reach = transport, reach
        self.moving: list[_Move] = []
        self.moved_operations = self.moved_bytes = 0
        self._over: list[bytes] = []
        self._moved: deque[Unit] = deque()

    def renew(self, fresh: Line) -> None:
        assert isinstance(fresh, LentLine)
        super().renew(fresh)
        self.reach = fresh.reach
        self._over.clear()

    @property
    def busy(self) -> bool:
        return bool(self.flying or self.moving)

    def ask(self, items: Sequence[Item], framed: bool) -> None:
        asked: list[Item] = []
        for unit, head, payload in items:
            if payload is not None:
                unit.places = (payload,)
            op = unit.op
            unit.op = _AS[op]
            asked.append((unit, b"".join((head[:_OP], _AS_BYTE[op], head[_OP + 1 :])), None))
        super().ask(asked, framed)

    # ---- answers

    def receive(self) -> bool:
        ended = bool(self.moving) and self._look()
        return super().receive() or ended

    def landed(self) -> Unit | None:
        return None

    def next(self) -> tuple[Unit, int] | None:
        if self._moved:
            return self._moved.popleft(), 0
        while self._have - self._first >= ANSWER.size:
            if not self.flying:
                raise Broken(errno.EPROTO, "it answers what nobody asked")
            unit = self.flying[0]
            mark, op, status, _, number, length, _ = ANSWER.unpack_from(self._head, self._first)
            if mark != ANSWER_MARK or op != unit.op or number != unit.number:
                raise Broken(errno.EPROTO, "it answers with something that is not its protocol")
            if status:
                if op == Op.RELEASE:
                    raise Broken(errno.ESTALE, "it does not know a lease that it gave")
                return self._refused(unit, status, length)
            placed = op in (Op.LEND, Op.RESERVE)
            if length != (PLACE.size if placed else 0):
                raise Broken(errno.EPROTO, f"it answers with {length} bytes where a place was asked for")
            if self._have - self._first < ANSWER.size + length:
                break
            after = self._first + ANSWER.size
            self._first = after + length
            if placed:
                self._begin(unit, *PLACE.unpack_from(self._head, after))
            self.flying.popleft()
            if placed:
                if self._moved:
                    return self._moved.popleft(), 0
            elif op == Op.COMMIT:
                return unit, 0
        if self._over:
            self._give_back()
        return None

    def _begin(self, unit: Unit, lease: int, first: int, nbytes: int) -> None:
        """Its bytes are moved, or on their way. Raises Broken."""
        if nbytes != unit.nbytes:
            raise Broken(errno.EPROTO, f"it lends {nbytes} bytes where {unit.nbytes} were asked for")
        if first + nbytes > self.reach.nbytes:
            raise Broken(errno.EPROTO, f"it lends bytes up to {first + nbytes}, beyond its {self.reach.nbytes}")
        tickets: list[int] = []
        try:
            self.reach.start(unit.op == Op.RESERVE, first, unit.places, tickets)
        except Failed as error:
            # What has begun of it has to end before its buffers are anybody else's.
            self.flying.popleft()
            self.moving.append(_Move(unit, lease, tickets))
            raise Broken(errno.EIO, str(error)) from error
        if tickets:
            self.moving.append(_Move(unit, lease, tickets))
        else:
            self._is_moved(unit, lease)

    def _is_moved(self, unit: Unit, lease: int) -> None:
        self.moved_operations += 1
        self.moved_bytes += unit.nbytes
        if unit.op == Op.RESERVE:
            unit.op = Op.COMMIT
            self.out.append(protocol.request(Op.COMMIT, unit.number, LEASE.pack(lease)))
            self.flying.append(unit)
        else:
            self._over.append(LEASE.pack(lease))
            self._moved.append(unit)

    def _give_back(self) -> None:
        number = LEASE.unpack(self._over[0])[0]
        self.out.append(protocol.request(Op.RELEASE, number, b"".join(self._over)))
        self.flying.append(Unit(Op.RELEASE, number, 0, None, ()))
        self._over.clear()

    # ---- bytes on their way

    def _look(self) -> bool:
        """Whether some have arrived. Raises Broken."""
        moving, self.moving = self.moving, []
        for number, move in enumerate(moving):
            try:
                while move.tickets and self.reach.ended(move.tickets[-1]):
                    move.tickets.pop()
            except Failed as error:
                move.tickets.pop()
                self.moving += moving[number:]
                raise Broken(errno.EIO, str(error)) from error
            if move.tickets:
                self.moving.append(move)
            else:
                self._is_moved(move.unit, move.lease)
        return len(self.moving) < len(moving)

    def abandon(self, timeout_ns: int) -> Iterable[Unit]:
        end = time.monotonic_ns() + timeout_ns
        moving, self.moving = self.moving, []
        for move in moving:
            while move.tickets:
                with contextlib.suppress(Failed):
                    if not self.reach.ended(move.tickets[-1]):
                        if time.monotonic_ns() > end:
                            raise Lost(
                                f"a transfer with the memkv server {self.endpoint} does not end",
                                "see the RDMA devices; the next point has a fresh worker",
                            )
                        time.sleep(0)
                        continue
                move.tickets.pop()
        moved, self._moved = self._moved, deque()
        return [*super().abandon(timeout_ns), *(move.unit for move in moving), *moved]
