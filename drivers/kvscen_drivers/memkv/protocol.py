"""What goes over a connection: docs/memkv-protocol.md in code. Little-endian; a request and its answer have a fixed
head each, and answers come in the order of the requests."""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import IntEnum

import attrs
import numpy as np

VERSION = 2
MAGIC = b"kvscen-memkv"

#: The most bytes of a key and of the text of a refusal, and the most ranges of a batch.
MAX_KEY_BYTES = 64 << 10
MAX_TEXT_BYTES = 4096
MAX_BATCH = 4096
#: The length of a GET that asks for all from its offset on.
WHOLE = 2**64 - 1
#: Marks the head of a request, and of an answer: whatever else comes is garbage.
REQUEST_MARK, ANSWER_MARK = 0x4B51, 0x4B41


class Op(IntEnum):
    """What a request asks for. BATCH: the next `length` requests are answered together. LEND and RESERVE are GET and
    PUT for clients that move the bytes themselves: they are answered with a PLACE."""

    GET = 1
    PUT = 2
    EXISTS = 3
    DELETE = 4
    PURGE = 5
    STAT = 6
    BATCH = 7
    LEND = 8
    RESERVE = 9
    COMMIT = 10
    RELEASE = 11


class Status(IntEnum):
    """How a request ended. All but OK carry a text that says why."""

    OK = 0
    MISSING = 1
    RANGE = 2
    FULL = 3
    TOO_LARGE = 4
    BAD_REQUEST = 5
    DENIED = 6
    VERSION = 7
    FAILED = 8
    LEASE = 9
    TRANSPORT = 10


#: Mark, operation, flags, bytes of the key, id, offset, length, bytes of the whole value.
REQUEST = struct.Struct("<HBBIQQQQ")
#: Mark, operation, status, (unused), id, bytes that follow, bytes of the whole value.
ANSWER = struct.Struct("<HBBIQQQ")
#: Where bytes of a value lie in a server's memory, or are to go: a lease, the first byte, how many.
PLACE = struct.Struct("<QQQ")
#: What COMMIT (one) and RELEASE (any number) have for a key.
LEASE = struct.Struct("<Q")
#: The most leases that a connection has at a time.
MAX_LEASES = 8192
#: The head of a request whose key has 16 bytes, with the key: rows for making many at once.
REQUEST_ROW = np.dtype(
    [
        ("mark", "<u2"),
        ("op", "u1"),
        ("flags", "u1"),
        ("key_bytes", "<u4"),
        ("id", "<u8"),
        ("offset", "<u8"),
        ("length", "<u8"),
        ("value_bytes", "<u8"),
        ("tag", "<u8"),
        ("number", "<u8"),
    ]
)
#: One such row, for making one.
ROW = struct.Struct("<HBBIQQQQQQ")
#: The bytes of a key of ours: a tag that no other run has, and the number of the value.
KEY_BYTES = 16

_NONCE_BYTES = 32
#: Client: magic, version, transport, its nonce.
HELLO = struct.Struct(f"<{len(MAGIC)}sHH{_NONCE_BYTES}s")
#: Server: magic, version, status, whether a secret is asked for, its nonce, then its limits: the most bytes of a key
#: and of a value, the most requests of a batch, the grain of ranges, whether values are evicted.
WELCOME = struct.Struct(f"<{len(MAGIC)}sHBB{_NONCE_BYTES}sQQIIB")
#: Client: proof that it knows the secret. Server: status and its own proof.
PROOF = struct.Struct("<32s")
VERDICT = struct.Struct("<B32s")

#: The transports that a client may ask for: values come over the connection itself, or the client moves them from and
#: into the server's memory, which it maps (one host) or reaches through an RDMA device.
TRANSPORTS = {"tcp": 0, "shm": 1, "rdma": 2}
TCP = TRANSPORTS["tcp"]


@attrs.frozen
class Limits:
    """What a server takes. `grain`: ranges of a value begin and end at multiples of it. `evicts`: a value may go."""

    key_bytes: int = MAX_KEY_BYTES
    value_bytes: int = 4 << 30
    batch: int = MAX_BATCH
    grain: int = 1
    evicts: bool = False


class Garbage(Exception):
    """The other side does not speak this protocol, or not this version. The message is a phrase."""


def proof(secret: bytes, who: bytes, first: bytes, second: bytes) -> bytes:
    """What shows that `who` ("client" or "server") knows the secret, for these two nonces."""
    return hmac.new(secret, who + first + second, hashlib.sha256).digest()


def request(
    op: Op, number: int = 0, key: bytes = b"", offset: int = 0, length: int = 0, value_bytes: int = 0, flags: int = 0
) -> bytes:
    """The head of a request with its key."""
    return REQUEST.pack(REQUEST_MARK, op, flags, len(key), number, offset, length, value_bytes) + key


def answer(op: int, status: Status, number: int, length: int = 0, value_bytes: int = 0) -> bytes:
    return ANSWER.pack(ANSWER_MARK, op, status, 0, number, length, value_bytes)


def refusal(op: int, status: Status, number: int, why: str) -> bytes:
    text = why.encode()[:MAX_TEXT_BYTES]
    return answer(op, status, number, len(text)) + text


def same(one: bytes, other: bytes) -> bool:
    """Compared in a time that tells nothing about where they differ."""
    return hmac.compare_digest(one, other)
