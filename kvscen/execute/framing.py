"""Messages on a pipe: eight bytes of length, then the message."""

from __future__ import annotations

from typing import Protocol

HEADER_BYTES = 8


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes | None: ...


class _Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


def header(length: int) -> bytes:
    return length.to_bytes(HEADER_BYTES, "little")


def length_of(head: bytes) -> int:
    return int.from_bytes(head, "little")


def read_frame(source: _Readable) -> bytes | None:
    """The next message; None at the end of the pipe, also where it ends within a message."""
    head = _read_exactly(source, HEADER_BYTES)
    return None if head is None else _read_exactly(source, length_of(head))


def _read_exactly(source: _Readable, count: int) -> bytes | None:
    pieces = bytearray()
    while len(pieces) < count:
        piece = source.read(count - len(pieces))
        if not piece:
            return None
        pieces += piece
    return bytes(pieces)


def write_frame(sink: _Writable, message: bytes) -> None:
    rest = memoryview(header(len(message)) + message)
    while rest:
        rest = rest[sink.write(rest) or 0 :]
