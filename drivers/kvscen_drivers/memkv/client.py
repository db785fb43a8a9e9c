"""A client's connections: where a server is, the greeting, and requests one at a time for all that is not the load."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
from typing import Any

import attrs

from kvscen.plugin import DriverError, Unavailable
from kvscen_drivers.memkv import protocol
from kvscen_drivers.memkv.protocol import ANSWER, ANSWER_MARK, Garbage, Limits, Op, Status
from kvscen_drivers.memkv.server import tune

_SIOCGIFADDR = 0x8915


@attrs.frozen
class Endpoint:
    """Where a server listens. `secret` is what both sides show that they know."""

    host: str
    port: int
    secret: bytes | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect(
    endpoint: Endpoint, timeout_s: float, congestion: str | None = None, transport: str = "tcp"
) -> tuple[socket.socket, Limits]:
    """A connection that may be used, and what the server takes. Raises DriverError, which names the server."""
    try:
        sock = socket.create_connection((endpoint.host, endpoint.port), timeout_s)
    except OSError as error:
        raise DriverError(
            f"the memkv server {endpoint} cannot be reached: {error.strerror or error}",
            "start it with `kvscen serve memkv`, or correct `endpoints`",
        ) from error
    try:
        tune(sock, congestion)
        return sock, greet(sock, endpoint.secret, transport)
    except Garbage as error:
        sock.close()
        if isinstance(error, _NotOffered):
            option = "--shm" if transport == "shm" else "--rdma DEVICE"
            raise Unavailable(
                f"the memkv server {endpoint} {error}",
                f"start it with `kvscen serve memkv {option}`, or use `transport = tcp`",
            ) from error
        raise DriverError(f"the memkv server {endpoint} {error}", _REMEDIES.get(str(error), _OTHER)) from error
    except OSError as error:
        sock.close()
        why = "it does not answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise DriverError(f"the memkv server {endpoint} did not greet: {why}", _OTHER) from error


_OTHER = "look whether it is one, of this version of kvscen"
_WRONG, _NONE = "does not accept the secret", "does not know the secret"
_MISSING = "asks for a secret, and the tier has none"
_REMEDIES = {
    _WRONG: "give the tier the `secret` that the server has",
    _NONE: "give the server the secret that the tier has",
    _MISSING: 'set `secret = secret("file")` to the one of the server',
}


class _NotOffered(Garbage):
    """The server does not know the transport."""


def greet(sock: socket.socket, secret: bytes | None, transport: str = "tcp") -> Limits:
    """Raises Garbage, whose message goes on from the server's name; OSError."""
    mine = os.urandom(protocol.PROOF.size)
    sock.sendall(protocol.HELLO.pack(protocol.MAGIC, protocol.VERSION, protocol.TRANSPORTS[transport], mine))
    magic, version, status, asked, theirs, *limits = protocol.WELCOME.unpack(_exactly(sock, protocol.WELCOME.size))
    if magic != protocol.MAGIC:
        raise Garbage("answers with something that is not its protocol")
    if version != protocol.VERSION or status == Status.VERSION:
        raise Garbage(f"speaks version {version} of its protocol, and this is version {protocol.VERSION}")
    if status == Status.TRANSPORT:
        raise _NotOffered(f"does not offer the transport `{transport}`")
    if asked and secret is None:
        raise Garbage(_MISSING)
    shown = bytes(protocol.PROOF.size) if secret is None else protocol.proof(secret, b"client", theirs, mine)
    sock.sendall(protocol.PROOF.pack(shown))
    status, own = protocol.VERDICT.unpack(_exactly(sock, protocol.VERDICT.size))
    if status != Status.OK:
        raise Garbage(_WRONG)
    if secret is not None and not protocol.same(own, protocol.proof(secret, b"server", mine, theirs)):
        raise Garbage(_NONE)
    key_bytes, value_bytes, batch, grain, evicts = limits
    if grain < 1 or grain & (grain - 1) or not batch:
        raise Garbage("answers with something that is not its protocol")
    return Limits(key_bytes, value_bytes, batch, grain, bool(evicts))


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise Garbage("closed the connection without a word")
        data += part
    return bytes(data)


class Control:
    """One request at a time, each answered within `timeout_s`."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, transport: str = "tcp") -> None:
        """Raises DriverError."""
        self.endpoint = endpoint
        self._sock, self.limits = connect(endpoint, timeout_s, None, transport)
        self._number = 0

    @classmethod
    def over(cls, endpoint: Endpoint, sock: socket.socket, limits: Limits) -> Control:
        """On a connection that has been greeted."""
        control = cls.__new__(cls)
        control.endpoint, control._sock, control.limits, control._number = endpoint, sock, limits, 0
        return control

    def call(
        self, op: Op, key: bytes = b"", offset: int = 0, length: int = 0, value: bytes | memoryview | None = None
    ) -> tuple[Status, int, bytes]:
        """(status, bytes of the whole value, what followed). Raises DriverError where there is no answer."""
        if value is None:
            return self.ask(op, key, offset, length)
        return self.ask(op, key, offset, len(value), max(length, offset + len(value)), value)

    def ask(
        self,
        op: Op,
        key: bytes = b"",
        offset: int = 0,
        length: int = 0,
        value_bytes: int = 0,
        value: bytes | memoryview = b"",
    ) -> tuple[Status, int, bytes]:
        """The same for a request that names the bytes of the whole value and does not bring them."""
        self._number += 1
        try:
            self._sock.sendall(protocol.request(op, self._number, key, offset, length, value_bytes))
            if len(value):
                self._sock.sendall(value)
            mark, of, status, _, number, follows, value_bytes = ANSWER.unpack(_exactly(self._sock, ANSWER.size))
            if (
                mark != ANSWER_MARK
                or of != op
                or number != self._number
                or (status and follows > protocol.MAX_TEXT_BYTES)
            ):
                raise Garbage("answers with something that is not its protocol")
            return Status(status), value_bytes, _exactly(self._sock, follows)
        except (OSError, Garbage, ValueError) as error:
            why = f"does not answer: {error.strerror or error}" if isinstance(error, OSError) else str(error)
            raise DriverError(f"the memkv server {self.endpoint} {why}", "look whether it still runs") from error

    def about(self) -> dict[str, Any]:
        """What the server says of itself. Raises DriverError."""
        status, _, text = self.call(Op.STAT)
        try:
            told = json.loads(text) if status == Status.OK else None
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise DriverError(f"the memkv server {self.endpoint} does not tell about itself", _OTHER)
        return told

    def close(self) -> None:
        self._sock.close()


def errno_of(status: int) -> int:
    """The error of an operation whose request ended so."""
    return {
        Status.MISSING: errno.ENODATA,
        Status.RANGE: errno.ERANGE,
        Status.FULL: errno.ENOSPC,
        Status.TOO_LARGE: errno.EMSGSIZE,
        Status.BAD_REQUEST: errno.EINVAL,
        Status.DENIED: errno.EACCES,
        Status.FAILED: errno.EIO,
        Status.LEASE: errno.ESTALE,
    }.get(Status(status) if status in Status._value2member_map_ else Status.FAILED, errno.EPROTO)


@attrs.frozen
class Counted:
    """What the kernel counts of a TCP connection: bytes that the other side has confirmed, bytes received, segments
    sent again."""

    acked_bytes: int = 0
    received_bytes: int = 0
    retransmitted: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.acked_bytes + other.acked_bytes,
            self.received_bytes + other.received_bytes,
            self.retransmitted + other.retransmitted,
        )

    def __sub__(self, other: Counted) -> Counted:
        return Counted(
            self.acked_bytes - other.acked_bytes,
            self.received_bytes - other.received_bytes,
            self.retransmitted - other.retransmitted,
        )


#: In struct tcp_info (linux/tcp.h): tcpi_total_retrans, then from byte 120 tcpi_bytes_acked and tcpi_bytes_received.
_TOTAL_RETRANS, _BYTES = 100, 120


def counted(sock: socket.socket) -> Counted | None:
    """None where the kernel does not say."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:
        return None
    if len(info) < _BYTES + 16:
        return None
    acked, received = struct.unpack_from("=QQ", info, _BYTES)
    return Counted(acked, received, struct.unpack_from("=I", info, _TOTAL_RETRANS)[0])


def congestion_of(sock: socket.socket) -> str:
    with contextlib.suppress(OSError):
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
    return "unknown"


def interface_of(sock: socket.socket) -> str:
    """The network interface that has the connection's own address; its address where none is found."""
    address = str(sock.getsockname()[0])
    if ":" in address:
        with contextlib.suppress(OSError, IndexError):
            packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0]).hex()
            with open("/proc/net/if_inet6") as table:  # noqa: PTH123
                return next((line.split()[5] for line in table if line.split()[0] == packed), address)
        return address
    if address.startswith("127."):
        return "lo"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return address
