"""One connection to a server: commands go out pipelined, blocks come into their buffers without a copy in between."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from kvscen.plugin import ERROR, OK, READ, WRITE, Arena, Clock, DriverError, Lane, Lost, Rows
from kvscen_drivers.redis.replies import Commands, Exchange, Garbage, OddReply

#: Pieces that one system call takes, below the kernel's 1024, and the bytes after which no more are added.
_PIECES, _CALL_BYTES = 256, 4 << 20
_SPILL_BYTES = 256 << 10
#: Of struct tcp_info: tcpi_bytes_acked and tcpi_bytes_received (linux/tcp.h).
_TCP_BYTES = struct.Struct("<QQ")
_TCP_BYTES_AT = 120

_Row = tuple[int, int, int, int, int, int, int, int, int]


class RedisLane(Lane):
    """At most `depth` commands in flight. One that fails is an error; a connection that fails takes all of them along,
    and the next `submit` raises Lost."""

    def __init__(
        self,
        link: socket.socket,
        where: str,
        arena: Arena,
        depth: int,
        patience_s: float,
        clock: Clock,
        place: Callable[[int, int, int], bool],
    ) -> None:
        """`place(key, offset, nbytes)`: is that within the layout?"""
        link.setblocking(False)
        self._link, self._where = link, where
        self._memory = memoryview(arena.view)  # type: ignore[arg-type]  # an array has the buffer protocol
        self._depth, self._patience_ns, self._clock = depth, int(patience_s * 1e9), clock
        self._place = place
        self.commands = Commands(b"", 1)
        self._accepted = 0
        self._out: deque[bytes | memoryview] = deque()
        self._flying: deque[Exchange] = deque()
        self._done: deque[_Row] = deque()
        self._odd: OddReply | None = None
        # A byte beyond the last reply that is due: nothing may ever come there.
        self._beyond = memoryview(bytearray(1))
        self._moved_at = 0
        self._lost = ""
        self._closed = False
        self._poll = select.poll()
        self._asked = 0
        #: What the server said of operations that failed, by key; of the first ones.
        self.said: dict[int, str] = {}
        self.sent_bytes = self.received_bytes = 0
        self._kernel_before = self._kernel()

    # ---- in

    def submit(self, ops: Rows) -> int:
        if self._lost:
            raise Lost(self._lost, "see whether the server runs; the next point connects anew")
        count = min(len(ops), self._depth - self._accepted)
        if count <= 0:
            return 0
        now = self._clock()
        if not self._flying:
            self._moved_at = time.monotonic_ns()
        memory, commands, size = self._memory, self.commands, len(self._memory)
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops[:count].tolist():
            if kind > WRITE or buffer + nbytes > size or not self._place(key, offset, nbytes):
                code = errno.EOPNOTSUPP if kind > WRITE else errno.EINVAL
                self._done.append((number, now, self._clock(), 0, 0, code, ERROR, 0, 0))
                continue
            view = memory[buffer : buffer + nbytes]
            make = commands.read if kind == READ else commands.write
            exchange = make(number, key, now, offset, view)
            self._flying.append(exchange)
            self._out.extend(exchange.command)
        self._accepted += count
        self._guarded(self._send)
        return count

    def _guarded(self, move: Callable[[], None]) -> None:
        """Send or receive; where the connection fails, so does all that is in flight."""
        try:
            move()
        except BlockingIOError:
            pass
        except Garbage as error:
            self._lose(errno.EPROTO, f"sent what is no answer, {error},")
        except OSError as error:
            code = error.errno or errno.EIO
            self._lose(code, f"is gone ({os.strerror(code)})")

    def _send(self) -> None:
        out = self._out
        while out:
            pieces, total = [], 0
            for piece in islice(out, _PIECES):
                pieces.append(piece)
                total += len(piece)
                if total >= _CALL_BYTES:
                    break
            sent = self._link.sendmsg(pieces)
            self.sent_bytes += sent
            self._moved_at = time.monotonic_ns()
            left = sent
            while out and left >= len(out[0]):
                left -= len(out.popleft())
            if left:
                out[0] = memoryview(out[0])[left:]
            if sent < total:
                return

    # ---- out

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        began = time.monotonic_ns()
        at_least = min(at_least, len(out))
        while len(self._done) < at_least:
            left = timeout_ns - (time.monotonic_ns() - began)
            if left <= 0:
                break
            if not self._flying:
                time.sleep(left / 1e9)
                break
            self._wait(left)
        else:
            if self._flying and not at_least:
                self._wait(0)
        count = min(len(out), len(self._done))
        if count:
            out[:count] = [self._done.popleft() for _ in range(count)]
            self._accepted -= count
        return count

    def _wait(self, timeout_ns: int) -> None:
        """Until something can be moved, and move it."""
        wanted = select.POLLIN | (select.POLLOUT if self._out else 0)
        if wanted != self._asked:
            self._asked = wanted
            self._poll.register(self._link, wanted)
        patience = self._patience_ns - (time.monotonic_ns() - self._moved_at)
        ready = self._poll.poll(max(0, min(timeout_ns, patience)) / 1e6)
        if ready:
            if self._out:
                self._guarded(self._send)
            if not self._lost:
                self._guarded(self._receive)
        elif time.monotonic_ns() - self._moved_at >= self._patience_ns:
            self._lose(errno.ETIMEDOUT, f"has said nothing for {self._patience_ns / 1e9:g} s")

    def _receive(self) -> None:
        """What the kernel has, into its places."""
        if self._odd is not None:
            self._receive_odd()
            return
        places: list[memoryview] = []
        total = 0
        for exchange in islice(self._flying, _PIECES // 3):
            places += exchange.rest()
            total += exchange.size - exchange.got
            if total >= _CALL_BYTES:
                break
        else:
            if len(self._flying) <= _PIECES // 3:
                places.append(self._beyond)
        got = self._link.recvmsg_into(places)[0]
        self._count(got)
        now = self._clock()
        while got and self._flying:
            exchange = self._flying[0]
            step = min(got, exchange.size - exchange.got)
            exchange.got += step
            got -= step
            if exchange.odd:
                self._reread(got)
                return
            if exchange.got < exchange.size:
                return
            self._end(now, OK, exchange.wanted)
        if got:
            raise Garbage(repr(bytes(self._beyond)))

    def _count(self, got: int) -> None:
        if not got:
            raise ConnectionResetError(errno.ECONNRESET, "end of the connection")
        self.received_bytes += got
        self._moved_at = time.monotonic_ns()

    def _reread(self, beyond: int) -> None:
        """The first reply is not what was expected: its bytes, and those that came after it, lie where others were to
        go. They are taken from there and read again."""
        stream = bytearray(self._flying[0].received())
        self._flying[0].got = 0
        for exchange in islice(self._flying, 1, None):
            if not beyond:
                break
            exchange.got = min(beyond, exchange.size)
            beyond -= exchange.got
            stream += exchange.received()
            exchange.got = 0
        if beyond:
            stream += self._beyond
        self._odd = OddReply()
        self._read_again(memoryview(stream))

    def _receive_odd(self) -> None:
        data = self._link.recv(_SPILL_BYTES)
        self._count(len(data))
        self._read_again(memoryview(data))

    def _read_again(self, data: memoryview) -> None:
        """Bytes that are here already, for the replies that are due."""
        while data:
            if not self._flying:
                raise Garbage(repr(bytes(data[:40])))
            exchange = self._flying[0]
            if self._odd is None:
                taken = exchange.feed(data)
                if not exchange.odd:
                    data = data[taken:]
                    if exchange.got == exchange.size:
                        self._end(self._clock(), OK, exchange.wanted)
                    continue
                # From its beginning, which may have come before.
                data = memoryview(exchange.received() + bytes(data[taken:]))
                exchange.got = 0
                self._odd = OddReply()
            taken, whole = self._odd.feed(data)
            data = data[taken:]
            if whole:
                self._refused(exchange.key, self._odd.said)
                code, self._odd = self._odd.errno, None
                self._end(self._clock(), ERROR, 0, code)

    def _refused(self, key: int, said: str) -> None:
        if len(self.said) < 16:
            self.said[key] = said

    def _end(self, now: int, outcome: int, moved: int, code: int = 0) -> None:
        exchange = self._flying.popleft()
        self._done.append((exchange.number, exchange.submitted, now, moved, exchange.wire_bytes, code, outcome, 0, 0))

    # ---- the end

    def _lose(self, code: int, why: str) -> None:
        """Nothing that is in flight can end any more."""
        first = self._flying[0] if self._flying else None
        doing = ""
        if first is not None:
            doing = (
                f" with {len(self._flying)} operations in flight, the first of them a "
                f"{'write' if first.write else 'read'} of `{self.commands.name(first.key).decode(errors='replace')}`"
            )
        self._lost = f"{self._where} {why}{doing}"
        now = self._clock()
        while self._flying:
            self._refused(self._flying[0].key, why)
            self._end(now, ERROR, 0, code)
        self._out.clear()
        self._odd = None
        self._link.close()

    @property
    def lost(self) -> str:
        """What became of the connection; "" while it stands."""
        return self._lost

    def check(self) -> None:
        """Raises DriverError where the connection has failed."""
        if self._lost:
            raise DriverError(self._lost, "see whether the server runs")

    def _kernel(self) -> tuple[int, int] | None:
        """Bytes that the kernel has counted on this connection: acknowledged by the other side, and received."""
        try:
            info = self._link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:  # a Unix socket, or one that is closed
            return None
        return _TCP_BYTES.unpack_from(info, _TCP_BYTES_AT) if len(info) >= _TCP_BYTES_AT + _TCP_BYTES.size else None

    def kernel_bytes(self) -> tuple[int, int] | None:
        """(sent and acknowledged, received) by the kernel's count since the lane was made; None where it keeps none."""
        before, now = self._kernel_before, self._kernel()
        return None if before is None or now is None else (now[0] - before[0], now[1] - before[1])

    def close(self) -> None:
        """What is in flight is abandoned."""
        if not self._closed:
            self._closed = True
            self._lost = self._lost or f"{self._where}: the lane is closed"
            self._flying.clear()
            self._out.clear()
            self._link.close()
            self._memory = memoryview(b"")
