"""One connection of a lane: what it has asked for and not been answered yet, in this order, and the bytes both ways. It
never waits."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.client import Counted, Endpoint, counted, errno_of
from kvscen_drivers.memkv.coalesce import Copy
from kvscen_drivers.memkv.protocol import ANSWER, ANSWER_MARK, KEY_BYTES, REQUEST, Op, Status
from kvscen_drivers.memkv.wakes import wake_at
from kvscen_drivers.reports import Report

#: What is read beside the rest of a value, and copied: heads of answers, and small values.
_HEAD_BYTES = 8192
#: Buffers in one system call (IOV_MAX is 1024).
_MOST_BUFFERS = 1000
#: Smaller values are read together with the heads of many answers, and copied.
_LEAST_DIRECT_BYTES = 4096
_NOW = socket.MSG_DONTWAIT
#: Looking up a member of an enumeration takes as long as comparing ten numbers.
_GET, _BATCH = int(Op.GET), int(Op.BATCH)

_log = logging.getLogger("kvscen.driver")


class Unit:
    """One request on its way. `rows` of `report` end with it. A GET's bytes go to `places`, then come the `copies`."""

    __slots__ = ("buffers", "copies", "nbytes", "number", "op", "places", "report", "rows")

    def __init__(
        self,
        op: int,
        number: int,
        nbytes: int,
        report: Report | None,
        rows: Sequence[int],
        places: tuple[memoryview, ...] = (),
        copies: tuple[Copy, ...] = (),
        buffers: object = None,
    ) -> None:
        self.op, self.number, self.nbytes = op, number, nbytes
        self.report, self.rows = report, rows
        self.places, self.copies, self.buffers = places, copies, buffers


#: A request, its head, and the bytes of a value that go with it.
Item: TypeAlias = tuple[Unit, bytes | memoryview, memoryview | None]


class Broken(Exception):
    """The connection cannot be used any more; `code` is the errno of what was in flight."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Line:
    """`out` is what waits to be sent, `flying` what waits for an answer.

    Values come and go over the connection itself: the transport `tcp`. Lines of the others move the values themselves
    (`moves`) while answers are read; `moving` is what they are at.
    """

    transport = "tcp"
    moves = False
    #: What a request and its answer take beside the bytes of the value.
    overhead_bytes = REQUEST.size + KEY_BYTES + ANSWER.size
    moving: Sequence[object] = ()

    def __init__(self, endpoint: Endpoint, server: int, sock: socket.socket) -> None:
        self.endpoint, self.server = endpoint, server
        self.sock: socket.socket | None = None
        self.out: list[bytes | memoryview] = []
        self.flying: deque[Unit] = deque()
        self.sent_bytes = self.received_bytes = 0
        #: When bytes last went either way, and when a connection that broke may be tried again.
        self.moved_ns = self.retry_ns = 0
        self.complaint = ""
        self._past = Counted()
        self._head = bytearray(_HEAD_BYTES)
        self._view = memoryview(self._head)
        self._first = self._have = self._placed = 0
        self._rest: list[memoryview] = []
        self._rest_bytes = 0
        self._wakes_bytes = 1
        self.use(sock)

    def use(self, sock: socket.socket) -> None:
        """A connection that has been greeted. What it counted so far was the greeting."""
        sock.settimeout(None)  # whoever waits polls; a call that would wait says MSG_DONTWAIT
        self.sock, self._before = sock, counted(sock)
        self._first = self._have = self._placed = self._rest_bytes = 0
        self._rest = []
        self._wakes_bytes = 1

    def await_bytes(self) -> None:
        """Before one waits: whoever waits for much of a value is not woken for every piece of it."""
        assert self.sock is not None
        self._wakes_bytes = wake_at(self.sock, self._rest_bytes, self._wakes_bytes)

    def renew(self, fresh: Line) -> None:
        """Go on with the connection of another one, to the same server."""
        assert fresh.sock is not None
        self.use(fresh.sock)

    def ask(self, items: Sequence[Item], framed: bool) -> None:
        """To be sent. `framed`: they are answered together."""
        if framed:
            number = items[0][0].number
            self.out.append(protocol.request(Op.BATCH, number, length=len(items)))
            self.flying.append(Unit(Op.BATCH, number, 0, None, ()))
        for unit, head, payload in items:
            self.out.append(head)
            if payload is not None:
                self.out.append(payload)
            self.flying.append(unit)

    @property
    def busy(self) -> bool:
        """Whether something has been asked for and has not ended."""
        return bool(self.flying)

    def abandon(self, timeout_ns: int) -> Iterable[Unit]:
        """What was asked for and will not be answered any more: nobody touches its buffers from now on. Raises Lost
        where that cannot be had within the time."""
        flying, self.flying = self.flying, deque()
        return flying

    def counted(self) -> Counted | None:
        """What the kernel counted of the load. None where it does not say."""
        now = None if self.sock is None else counted(self.sock)
        if now is None or self._before is None:
            return None if self.sock is not None else self._past
        return self._past + (now - self._before)

    def close(self) -> None:
        if self.sock is not None:
            self._past = self.counted() or self._past
            self.sock.close()
            self.sock = None
        self.out.clear()

    # ---- bytes

    def send(self) -> None:
        """As much as there is room for. Raises Broken."""
        out = self.out
        assert self.sock is not None
        while out:
            try:
                if len(out) == 1:
                    sent = self.sock.send(out[0], _NOW)
                else:
                    sent = self.sock.sendmsg(out if len(out) <= _MOST_BUFFERS else out[:_MOST_BUFFERS], (), _NOW)
            except BlockingIOError:
                return
            except OSError as error:
                raise Broken(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO)) from error
            self.sent_bytes += sent
            done = 0
            while done < len(out) and sent >= len(out[done]):
                sent -= len(out[done])
                done += 1
            del out[:done]
            if sent:
                out[0] = memoryview(out[0])[sent:]

    def receive(self) -> bool:
        """Read once. False where nothing was there. Raises Broken."""
        assert self.sock is not None
        direct: Unit | None = None
        try:
            if self._rest_bytes:
                count = self.sock.recvmsg_into([*self._rest[:_MOST_BUFFERS], self._view], 0, _NOW)[0]
            elif self._have == self._first and (direct := self._expected()) is not None:
                head = self._view
                into = [head[: ANSWER.size], *direct.places, head[ANSWER.size :]]
                count = self.sock.recvmsg_into(into, 0, _NOW)[0]
            else:
                if self._first:
                    left = self._have - self._first
                    self._view[:left] = self._view[self._first : self._have]
                    self._first, self._have = 0, left
                count = self.sock.recv_into(self._view[self._have :], 0, _NOW)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO)) from error
        if not count:
            raise Broken(errno.ECONNRESET, "the server closed the connection")
        self.received_bytes += count
        if direct is not None:
            self._sort(direct, count)
        elif not self._rest_bytes:
            self._have += count
        elif count >= self._rest_bytes:
            self._first, self._have = 0, count - self._rest_bytes
            self._rest_bytes = 0
            self._rest = []
        else:
            self._rest_bytes -= count
            self._rest = _after(self._rest, count)
        return True

    def _expected(self) -> Unit | None:
        """The GET whose answer comes next, if its bytes are read with the answer's head, straight to where they go."""
        if not self.flying:
            return None
        unit = self.flying[0]
        if unit.op != _GET or unit.nbytes < _LEAST_DIRECT_BYTES or len(unit.places) > _MOST_BUFFERS:
            return None
        return unit

    def _sort(self, unit: Unit, count: int) -> None:
        """What has been read is an answer's head, the bytes of `unit` and what follows them; or it is not, where the
        server refuses, and then all of it is looked at like any head."""
        size = ANSWER.size
        value = max(0, min(count - size, unit.nbytes))
        mark, op, status, _, _, length, _ = ANSWER.unpack_from(self._head)
        if count < size or (mark == ANSWER_MARK and op == _GET and not status and length == unit.nbytes):
            self._first, self._have, self._placed = 0, count - value, value
            return
        pieces, left = [self._view[:size]], value
        for place in unit.places:
            pieces.append(place[:left])
            left -= len(pieces[-1])
        came = b"".join((*pieces, self._view[size : count - value]))
        if len(came) > len(self._head):
            self._head = bytearray(len(came))
            self._view = memoryview(self._head)
        self._view[: len(came)] = came
        self._first, self._have = 0, len(came)

    def next(self) -> tuple[Unit, int] | None:
        """The next request that is answered, with its errno (0 where all is well, ENODATA where there is no such key);
        None where the answer is not all there. Raises Broken."""
        if self._rest_bytes:
            return None
        while self._have - self._first >= ANSWER.size:
            if not self.flying:
                raise Broken(errno.EPROTO, "it answers what nobody asked")
            unit = self.flying[0]
            mark, op, status, _, number, length, _ = ANSWER.unpack_from(self._head, self._first)
            if mark != ANSWER_MARK or op != unit.op or number != unit.number:
                raise Broken(errno.EPROTO, "it answers with something that is not its protocol")
            if status:
                return self._refused(unit, status, length)
            if length != (unit.nbytes if op == _GET else 0):
                raise Broken(errno.EPROTO, f"it answers with {length} bytes where {unit.nbytes} were asked for")
            self._first += ANSWER.size
            if op == _GET:
                self._take(unit)
                if self._rest_bytes:
                    # It is given out when the rest is there.
                    unit.op = _LANDED
                    return None
            self.flying.popleft()
            if op != _BATCH:
                return unit, 0
        return None

    def landed(self) -> Unit | None:
        """A GET whose answer is all there now."""
        if self._rest_bytes or not self.flying or self.flying[0].op != _LANDED:
            return None
        return self.flying.popleft()

    def _take(self, unit: Unit) -> None:
        """What has come of its bytes, and where the rest of them goes."""
        placed, self._placed = self._placed, 0
        if placed == unit.nbytes:
            return
        self._rest = _after([*unit.places], placed)
        here = min(unit.nbytes - placed, self._have - self._first)
        if here:
            piece, done = self._view[self._first : self._first + here], 0
            for place in self._rest:
                part = min(len(place), here - done)
                if not part:
                    break
                place[:part] = piece[done : done + part]
                done += part
            self._first += here
            self._rest = _after(self._rest, here)
        self._rest_bytes = unit.nbytes - placed - here

    def _refused(self, unit: Unit, status: int, length: int) -> tuple[Unit, int] | None:
        if length > protocol.MAX_TEXT_BYTES:
            raise Broken(errno.EPROTO, "it answers with something that is not its protocol")
        if self._have - self._first < ANSWER.size + length:
            return None
        text = bytes(self._view[self._first + ANSWER.size : self._first + ANSWER.size + length])
        self._first += ANSWER.size + length
        self.flying.popleft()
        if status != Status.MISSING and not self.complaint:
            self.complaint = text.decode(errors="replace")
            _log.error("the memkv server %s refuses: %s (further ones are only counted)", self.endpoint, self.complaint)
        return unit, errno_of(status)


#: The operation of a GET whose head has been read and whose bytes are on their way.
_LANDED = -1


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of them behind the first `count` bytes."""
    for number, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[number + 1 :]]
        count -= len(buffer)
    return []
