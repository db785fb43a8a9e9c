"""One client of a server: bytes in, requests served, bytes out. It never waits; the loop calls it when there is
something to read or room to write.

Values are received into the memory where they stay and sent from there. At most the first few KiB of one, which come
together with the head of its request, are copied.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable

import attrs

from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.lease import Leases
from kvscen_drivers.memkv.protocol import ANSWER, ANSWER_MARK, REQUEST, REQUEST_MARK, Op, Status
from kvscen_drivers.memkv.values import Incoming, Refused, Values
from kvscen_drivers.memkv.wakes import wake_at

#: What is read beside the rest of a value: many requests without values, or the head of the next one with a little of
#: its value.
_HEAD_BYTES = 4096
_ROOM = REQUEST.size + protocol.MAX_KEY_BYTES + _HEAD_BYTES
#: Answers that wait to be sent: beyond these, requests wait in the socket.
_MAX_BUFFERS, _MAX_OUT_BYTES = 512, 8 << 20
_GET, _PUT = int(Op.GET), int(Op.PUT)
#: Reads of one client before the others have their turn.
_ROUNDS = 32


class Gone(Exception):
    """The connection is at its end."""


@attrs.frozen
class House:
    """What the clients of a server share. `about` is what STAT tells beside the values, `transports` (by their numbers)
    what clients may ask for, `linger` is given memory that a client which is gone may still be writing to."""

    values: Values
    secret: bytes | None
    about: Callable[[], dict[str, object]]
    transports: frozenset[int] = frozenset({protocol.TCP})
    linger: Callable[[object], None] | None = None


class Peer:
    """`writing` says whether bytes wait for room, `greeted` whether it may ask for something, `more` that there is work
    left although nothing may arrive any more: the others had to have their turn."""

    def __init__(self, sock: socket.socket, house: House) -> None:
        self.sock = sock
        self.greeted = False
        self.writing = self.more = False
        self._house, self._values = house, house.values
        self._head = bytearray(_ROOM)
        self._view = memoryview(self._head)
        self._first = self._have = 0
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        # What keeps the memory of values that are being sent.
        self._holding: list[object] = []
        # Answers of a batch go out together: so many of them are still to come.
        self._batch = 0
        # Of a value on its way in: where the rest of it goes, and what is then to be answered.
        self._rest: memoryview | None = None
        self._incoming: Incoming | None = None
        self._answer_to = (0, 0)
        # Of a value that is refused: bytes that are still to come, and what is answered then.
        self._skip = 0
        self._refusal = b""
        # The last read took all that there was.
        self._drained = False
        self._wakes_bytes = 1
        self._last_words = False
        # Of a client that moves bytes itself.
        self._leases: Leases | None = None
        self._nonces = (b"", b"")
        self._step = self._hello

    @property
    def idle(self) -> bool:
        """Whether it is between two requests, and nothing waits to be sent."""
        return self.greeted and not self._out and self._rest is None and not self._skip and self._have == self._first

    @property
    def leases(self) -> int:
        """What it has been lent."""
        return 0 if self._leases is None else len(self._leases)

    # ---- the loop's side

    def ready(self) -> None:
        """Read, serve and write as far as it goes without waiting. Raises Gone."""
        try:
            self._pump()
            rest = 0 if self._rest is None else len(self._rest)
            self._wakes_bytes = wake_at(self.sock, rest, self._wakes_bytes)
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None
        self._rest = None
        self._out.clear()
        self._holding.clear()
        if self._leases is not None:
            self._leases.close()
        self.sock.close()

    def _pump(self) -> None:
        self.more = False
        if self._out and not self._batch and not self._flush():
            return
        for _ in range(_ROUNDS):
            again = self._step()  # answers are waiting, or there is more in the head
            if self._out and not self._batch and not self._flush():
                return
            if self._last_words:
                raise Gone
            if again:
                continue
            if self._drained:
                self._drained = False
                return
            if not self._read():
                return
        self.more = True

    def _read(self) -> bool:
        """Whether more may be there."""
        try:
            if self._rest is not None:
                return self._read_value(self._rest)
            if self._first:
                left = self._have - self._first
                self._view[:left] = self._view[self._first : self._have]
                self._first, self._have = 0, left
            wanted = min(max(_HEAD_BYTES, self._skip), _ROOM - self._have)
            count = self.sock.recv_into(self._view[self._have : self._have + wanted])
        except BlockingIOError:
            return False
        if not count:
            raise Gone
        self._have += count
        self._drained = count < wanted
        return True

    def _read_value(self, rest: memoryview) -> bool:
        """The rest of a value, and with it the head of what comes next."""
        count = self.sock.recvmsg_into([rest, self._view[:_HEAD_BYTES]])[0]
        if not count:
            raise Gone
        self._drained = count < len(rest) + _HEAD_BYTES
        if count < len(rest):
            self._rest = rest[count:]
            return True
        self._first, self._have = 0, count - len(rest)
        self._rest = None
        self._kept()
        return True

    def _flush(self) -> bool:
        """Whether all is sent."""
        out = self._out
        while out:
            try:
                sent = self.sock.sendmsg(out if len(out) <= _MAX_BUFFERS else out[:_MAX_BUFFERS])
            except BlockingIOError:
                self.writing = True
                return False
            done = 0
            while done < len(out) and sent >= len(out[done]):
                sent -= len(out[done])
                done += 1
            del out[:done]
            if sent:
                out[0] = memoryview(out[0])[sent:]
        self._out_bytes = 0
        self._holding.clear()
        self.writing = False
        return True

    # ---- the greeting

    def _hello(self) -> bool:
        if self._have - self._first < protocol.HELLO.size:
            return False
        magic, version, transport, nonce = protocol.HELLO.unpack_from(self._head, self._first)
        self._first += protocol.HELLO.size
        if magic != protocol.MAGIC:
            raise Gone
        mine, limits = os.urandom(len(nonce)), self._values.limits
        status = Status.OK if version == protocol.VERSION else Status.VERSION
        if status == Status.OK and transport not in self._house.transports:
            status = Status.TRANSPORT
        elif transport != protocol.TCP:
            self._leases = Leases(self._values, self._house.linger)
        self._nonces = (nonce, mine)
        self._out.append(
            protocol.WELCOME.pack(
                protocol.MAGIC,
                protocol.VERSION,
                status,
                self._house.secret is not None,
                mine,
                limits.key_bytes,
                limits.value_bytes,
                limits.batch,
                limits.grain,
                limits.evicts,
            )
        )
        self._last_words = status != Status.OK
        self._step = self._proof
        return True

    def _proof(self) -> bool:
        if self._have - self._first < protocol.PROOF.size:
            return False
        (shown,) = protocol.PROOF.unpack_from(self._head, self._first)
        self._first += protocol.PROOF.size
        secret, (theirs, mine) = self._house.secret, self._nonces
        status, own = Status.OK, bytes(protocol.PROOF.size)
        if secret is not None:
            if protocol.same(shown, protocol.proof(secret, b"client", mine, theirs)):
                own = protocol.proof(secret, b"server", theirs, mine)
            else:
                status, self._last_words = Status.DENIED, True
        self._out.append(protocol.VERDICT.pack(status, own))
        self.greeted = status == Status.OK
        self._step = self._serve
        return True

    # ---- requests

    def _serve(self) -> bool:
        """Serve what is in the head; whether to be called again before more is read."""
        head, unpack, size = self._head, REQUEST.unpack_from, REQUEST.size
        if self._skip and not self._skip_some():
            return False
        while self._have - self._first >= size:
            if len(self._out) >= _MAX_BUFFERS or self._out_bytes >= _MAX_OUT_BYTES:
                self._batch = 0
                return True
            mark, op, _, key_bytes, number, offset, length, value_bytes = unpack(head, self._first)
            if mark != REQUEST_MARK or key_bytes > protocol.MAX_KEY_BYTES:
                return self._break_off(op, number, "this is no request of the protocol")
            after = self._first + size + key_bytes
            if after > self._have:
                return False
            key = bytes(self._view[self._first + size : after])
            self._first = after
            if self._batch:
                self._batch -= 1
            try:
                if op == _GET:
                    piece = self._values.find(key, offset, None if length == protocol.WHOLE else length)
                    count = len(piece.view)
                    self._out.append(ANSWER.pack(ANSWER_MARK, op, 0, 0, number, count, piece.value_bytes))
                    self._out.append(piece.view)
                    self._holding.append(piece.holder)
                    self._out_bytes += count
                elif op == _PUT:
                    if not self._put(number, key, offset, length, value_bytes):
                        return False
                elif op == Op.BATCH:
                    if self._batch or length > self._values.limits.batch:
                        return self._break_off(op, number, f"a batch has at most {self._values.limits.batch} requests")
                    self._batch = length
                    self._out.append(protocol.answer(op, Status.OK, number))
                elif Op.LEND <= op <= Op.RELEASE:
                    self._lease(op, number, key, offset, length, value_bytes)
                else:
                    self._rarely(op, number, key)
            except Refused as refused:
                self._out.append(protocol.refusal(op, refused.status, number, str(refused)))
        return False

    def _put(self, number: int, key: bytes, offset: int, length: int, value_bytes: int) -> bool:
        """False where its bytes have yet to arrive."""
        here = min(length, self._have - self._first)
        try:
            if not key:
                raise Refused(Status.BAD_REQUEST, "the key is empty")
            incoming = self._values.receive(key, offset, length, value_bytes)
        except Refused as refused:
            # Its bytes come all the same: answered before they are gone, a client would wonder what it still sends.
            self._skip = length
            self._refusal = protocol.refusal(Op.PUT, refused.status, number, str(refused))
            return self._skip_some()
        if here:
            incoming.view[:here] = self._view[self._first : self._first + here]
            self._first += here
        self._incoming, self._answer_to = incoming, (number, value_bytes)
        if here < length:
            self._rest = incoming.view[here:]
            return False
        self._kept()
        return True

    def _kept(self) -> None:
        """All of a value has arrived."""
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        number, value_bytes = self._answer_to
        try:
            incoming.keep()
        except Refused as refused:
            self._out.append(protocol.refusal(Op.PUT, refused.status, number, str(refused)))
        else:
            self._out.append(ANSWER.pack(ANSWER_MARK, _PUT, 0, 0, number, 0, value_bytes))

    def _skip_some(self) -> bool:
        """The bytes of a value that was refused. Whether all of them are gone."""
        count = min(self._skip, self._have - self._first)
        self._skip -= count
        self._first += count
        if self._skip:
            return False
        self._out.append(self._refusal)
        return True

    def _lease(self, op: int, number: int, key: bytes, offset: int, length: int, value_bytes: int) -> None:
        leases, place = self._leases, b""
        if leases is None:
            raise Refused(Status.BAD_REQUEST, "this connection is for values over TCP")
        if op == Op.LEND:
            place, value_bytes = leases.lend(key, offset, length)
        elif op == Op.RESERVE:
            place = leases.reserve(key, offset, length, value_bytes)
        elif op == Op.COMMIT:
            leases.commit(key)
        else:
            leases.release(key)
        self._out.append(ANSWER.pack(ANSWER_MARK, op, 0, 0, number, len(place), value_bytes) + place)

    def _rarely(self, op: int, number: int, key: bytes) -> None:
        values = self._values
        if op == Op.EXISTS:
            size = values.size(key)
            if size is None:
                raise Refused(Status.MISSING, "there is no such key")
            self._out.append(protocol.answer(op, Status.OK, number, 0, size))
        elif op == Op.DELETE:
            if not values.delete(key):
                raise Refused(Status.MISSING, "there is no such key")
            self._out.append(protocol.answer(op, Status.OK, number))
        elif op == Op.PURGE:
            self._out.append(protocol.answer(op, Status.OK, number, 0, values.purge(key)))
        elif op == Op.STAT:
            text = json.dumps(self._house.about()).encode()
            self._out += (protocol.answer(op, Status.OK, number, len(text)), text)
        else:
            raise Refused(Status.BAD_REQUEST, f"there is no operation {op}")

    def _break_off(self, op: int, number: int, why: str) -> bool:
        """What follows cannot be understood: say so, and end."""
        self._out.append(protocol.refusal(op, Status.BAD_REQUEST, number, why))
        self._batch, self._last_words = 0, True
        self._first = self._have
        return True
