"""RESP, as far as blocks need it: what a command looks like on the wire, and what its reply is expected to be.

Where all goes well, every byte of a reply is known beforehand but the block's own: so the kernel can be told where each
of them is to go, for many replies at once. What comes otherwise than expected is read again, from the bytes that are
there.
"""

from __future__ import annotations

import errno

#: A line of a reply is no longer than this: an error's text. What is longer is no RESP.
LINE_BYTES = 64 << 10

#: What a server's error comes to, by its first word.
_ERRNO = {
    "OOM": errno.ENOSPC,
    "NOAUTH": errno.EACCES,
    "NOPERM": errno.EACCES,
    "WRONGPASS": errno.EACCES,
    "MOVED": errno.EREMCHG,
    "ASK": errno.EREMCHG,
    "CLUSTERDOWN": errno.EHOSTDOWN,
    "LOADING": errno.EAGAIN,
    "BUSY": errno.EBUSY,
    "READONLY": errno.EROFS,
    "MISCONF": errno.EROFS,
    "WRONGTYPE": errno.EBADMSG,
}


def errno_of(text: str) -> int:
    return _ERRNO.get(text.partition(" ")[0], errno.EREMOTEIO)


class Garbage(Exception):
    """What came is no RESP, or nobody has asked for it: from here on nothing of the connection can be believed."""


class Exchange:
    """One command and its reply. `command` are the pieces to send, `parts` where the bytes of the expected reply go."""

    __slots__ = (
        "command",
        "expected",
        "got",
        "head",
        "key",
        "number",
        "parts",
        "size",
        "submitted",
        "wanted",
        "wire_bytes",
        "write",
    )

    def __init__(
        self,
        number: int,
        key: int,
        submitted: int,
        write: bool,
        command: tuple[bytes | memoryview, ...],
        expected: bytes,
        view: memoryview,
    ) -> None:
        self.number, self.key, self.submitted, self.write = number, key, submitted, write
        self.command, self.expected, self.wanted = command, expected, len(view)
        self.head = memoryview(bytearray(len(expected)))
        # The parts of a bulk reply: its length, the block, the end of the line.
        self.parts: tuple[memoryview, ...] = (self.head,) if write else (self.head, view, memoryview(bytearray(2)))
        self.size = sum(map(len, self.parts))
        self.wire_bytes = sum(map(len, command)) + self.size
        self.got = 0

    def rest(self) -> list[memoryview]:
        """Where what has not come yet goes."""
        if not self.got:
            return list(self.parts)
        rest, skip = [], self.got
        for part in self.parts:
            if skip < len(part):
                rest.append(part[skip:])
            skip = max(0, skip - len(part))
        return rest

    def received(self) -> bytes:
        """What has come, as it came."""
        return b"".join(self.parts)[: self.got]

    def feed(self, data: memoryview) -> int:
        """Take what has been read already; how much of it."""
        taken = 0
        for place in self.rest():
            piece = data[taken : taken + len(place)]
            place[: len(piece)] = piece
            taken += len(piece)
        self.got += taken
        return taken

    @property
    def odd(self) -> bool:
        """Is what has come so far anything else than what was expected?"""
        head = min(self.got, len(self.expected))
        if self.head[:head] != self.expected[:head]:
            return True
        return self.got == self.size and not self.write and self.parts[2].tobytes() != b"\r\n"


class Commands:
    """Commands for the blocks of one layout, whose keys are called `prefix` and a number."""

    def __init__(self, prefix: bytes, stride_bytes: int) -> None:
        self._prefix, self._stride = prefix, stride_bytes

    def name(self, key: int) -> bytes:
        return b"%b%d" % (self._prefix, key)

    def read(self, number: int, key: int, submitted: int, offset: int, view: memoryview) -> Exchange:
        name, nbytes = self.name(key), len(view)
        if nbytes == self._stride:
            command = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name)
        else:
            first, last = b"%d" % offset, b"%d" % (offset + nbytes - 1)
            command = b"*4\r\n$8\r\nGETRANGE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
                *(len(name), name),
                *(len(first), first),
                *(len(last), last),
            )
        return Exchange(number, key, submitted, False, (command,), b"$%d\r\n" % nbytes, view)

    def write(self, number: int, key: int, submitted: int, offset: int, view: memoryview) -> Exchange:
        name, nbytes = self.name(key), len(view)
        if nbytes == self._stride:
            head = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, nbytes)
            expected = b"+OK\r\n"
        else:
            first = b"%d" % offset
            head = b"*4\r\n$8\r\nSETRANGE\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n" % (
                *(len(name), name),
                *(len(first), first),
                nbytes,
            )
            # The length of the whole value afterwards: another one says that the rest of it was not there.
            expected = b":%d\r\n" % self._stride
        return Exchange(number, key, submitted, True, (head, view, b"\r\n"), expected, view)


class OddReply:
    """A reply that is not the expected one, read to its end as its bytes come."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._skip: int | None = None
        self.errno, self.said = 0, ""

    def feed(self, data: memoryview) -> tuple[int, bool]:
        """How much of the data belongs to it, and whether it ends there. Raises Garbage."""
        taken = 0
        if self._skip is None:
            before = len(self._line)
            self._line += data[: LINE_BYTES + 2 - before]
            end = self._line.find(b"\r\n")
            if end < 0:
                if len(self._line) > LINE_BYTES or (self._line and self._line[:1] not in b"+-:$_*"):
                    raise Garbage(_shown(self._line))
                return len(self._line) - before, False
            taken = end + 2 - before
            self._skip = self._judge(bytes(self._line[:end]))
        step = min(self._skip, len(data) - taken)
        self._skip -= step
        return taken + step, not self._skip

    def _judge(self, line: bytes) -> int:
        """Set what it says; how many bytes of it follow."""
        kind, text = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            self.errno, self.said = errno_of(text), text
            return 0
        if line in (b"$-1", b"_", b"$0"):
            self.errno, self.said = errno.ENODATA, "the server has no such key: it was evicted or removed"
            return 2 if line == b"$0" else 0
        if kind == b"$" and text.isdecimal():
            self.errno, self.said = errno.EBADMSG, f"a value of {int(text)} bytes came"
            return int(text) + 2
        if kind == b":" and text.lstrip("-").isdecimal():
            self.errno, self.said = errno.EBADMSG, f"the value has {text} bytes now: the rest of it was not there"
            return 0
        if kind == b"+":
            self.errno, self.said = errno.EBADMSG, f"it answered {text!r}"
            return 0
        raise Garbage(_shown(line))


def _shown(data: bytes | bytearray) -> str:
    return repr(bytes(data[:40]))
