"""A file system that goes wrong when it is told to: a folder passed through FUSE, by the kernel's own protocol.

It speaks to /dev/fuse itself (struct layouts of `include/uapi/linux/fuse.h`, protocol 7.31), so that the tests need
root and nothing to install. `python -m tests.faults.fuse MOUNTPOINT BACKING CONTROL` serves until its stdin is closed.

CONTROL is a JSON file, a list of rules, read again whenever it changes. A rule applies to reads, writes or fsyncs of
the file called `blocks.data`; what struck is a line in CONTROL.struck. Every file is opened with FOPEN_DIRECT_IO: each
system call of a program arrives here as it was made, and nothing comes from a page cache.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

_LOOKUP, _FORGET, _GETATTR, _SETATTR, _MKDIR, _UNLINK, _RMDIR, _RENAME = 1, 2, 3, 4, 9, 10, 11, 12
_OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC, _FLUSH, _INIT = 14, 15, 16, 17, 18, 20, 25, 26
_OPENDIR, _READDIR, _RELEASEDIR, _CREATE, _INTERRUPT, _DESTROY, _BATCH_FORGET, _RENAME2 = 27, 28, 29, 35, 36, 38, 42, 45

_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_ATTR = struct.Struct("<6Q10I")
_ENTRY = struct.Struct("<4Q2I")
_READ_IN = struct.Struct("<QQIIQII")
_SETATTR_IN = struct.Struct("<II6Q8I")
_SETATTR_MODE, _SETATTR_SIZE = 1 << 0, 1 << 3
_DIRECT_IO = 1
_MAX_PAGES = 1 << 22
_MAX_WRITE = 1 << 20
_MNT_DETACH = 2
DATA = "blocks.data"


@attrs.frozen
class Rule:
    """What goes wrong: on the operations `op` that touch bytes [first, end) of the data file (an fsync: byte 0), after
    `after` of them (counted from when the rule was set), `count` times. What: `error` (an errno); `short` (so many
    bytes are moved); `stall` ("killable": until a signal, "deaf": whatever happens) or `delay_s`; `flip` (a bit of the
    operation's data); `elsewhere` (the bytes go to, or come from, another offset); `lose` (the write is acknowledged
    and not kept).
    """

    op: str
    first: int = 0
    end: int = 1 << 62
    after: int = 0
    count: int = 1 << 62
    error: int = 0
    short: int | None = None
    stall: str = ""
    delay_s: float = 0
    flip: int | None = None
    elsewhere: int | None = None
    lose: bool = False


class Control:
    """The rules as the control file has them now."""

    def __init__(self, path: Path) -> None:
        self._path, self._version = path, (0, 0)
        self._rules: list[Rule] = []
        self._seen: list[int] = []

    def strikes(self, op: str, offset: int, nbytes: int) -> Rule | None:
        found = self._path.stat()
        if (found.st_mtime_ns, found.st_ino) != self._version:
            self._rules = [Rule(**rule) for rule in json.loads(self._path.read_text())]
            self._seen = [0] * len(self._rules)
            self._version = (found.st_mtime_ns, found.st_ino)
        for number, rule in enumerate(self._rules):
            if rule.op == op and offset < rule.end and offset + nbytes > rule.first:
                self._seen[number] += 1
                if rule.after < self._seen[number] <= rule.after + rule.count:
                    with self._path.with_suffix(".struck").open("a") as log:
                        log.write(f"{op} {offset} {nbytes}\n")
                    return rule
        return None


class Server:
    """Nodes are files of `backing` by descriptor, so one that was unlinked goes on as long as it is open."""

    def __init__(self, device: int, backing: Path, control: Control) -> None:
        self._device, self._control = device, control
        self._nodes: dict[int, tuple[int, str]] = {1: (os.open(backing, os.O_PATH), "")}
        self._numbers: dict[tuple[int, int], int] = {}
        self._stalled: set[int] = set()
        self._handlers: dict[int, Callable[[int, int, bytes], bytes | None]] = {
            _LOOKUP: lambda unique, node, body: self._entry(node, body[:-1].decode()),
            _GETATTR: lambda unique, node, body: struct.pack("<QII", 0, 0, 0) + self._attr(self._nodes[node][0]),
            _SETATTR: self._setattr,
            _MKDIR: self._mkdir,
            _UNLINK: lambda unique, node, body: _nothing(self._path(node, body[:-1].decode()).unlink()),
            _RMDIR: lambda unique, node, body: _nothing(self._path(node, body[:-1].decode()).rmdir()),
            _RENAME: lambda unique, node, body: self._rename(node, struct.unpack_from("<Q", body)[0], body[8:]),
            _RENAME2: lambda unique, node, body: self._rename(node, struct.unpack_from("<Q", body)[0], body[16:]),
            _OPEN: self._open,
            _CREATE: self._create,
            _READ: self._read,
            _WRITE: self._write,
            _RELEASE: lambda unique, node, body: _nothing(os.close(struct.unpack_from("<Q", body)[0])),
            _FSYNC: self._fsync,
            _FLUSH: lambda unique, node, body: b"",
            _STATFS: self._statfs,
            _OPENDIR: lambda unique, node, body: struct.pack("<QII", 0, 0, 0),
            _READDIR: self._readdir,
            _RELEASEDIR: lambda unique, node, body: b"",
            _INIT: lambda unique, node, body: struct.pack(
                "<4I2H2I2H8I", 7, 31, 0, _MAX_PAGES, 16, 12, _MAX_WRITE, 1, _MAX_WRITE >> 12, 0, *[0] * 8
            ),
        }

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                message = os.read(self._device, _MAX_WRITE + (1 << 16))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                raise
            _, opcode, unique, node, *_ = _IN.unpack_from(message)
            self._handle(opcode, unique, node, message[_IN.size :])

    def _handle(self, opcode: int, unique: int, node: int, body: bytes) -> None:
        if opcode in (_FORGET, _BATCH_FORGET, _DESTROY):
            return
        if opcode == _INTERRUPT:
            (stalled,) = struct.unpack_from("<Q", body)
            if stalled in self._stalled:
                self._stalled.remove(stalled)
                self._answer(stalled, -errno.EINTR)
            return
        handler = self._handlers.get(opcode)
        if handler is None:
            self._answer(unique, -errno.ENOSYS)
            return
        try:
            data = handler(unique, node, body)
        except OSError as error:
            self._answer(unique, -(error.errno or errno.EIO))
            return
        if data is not None:
            self._answer(unique, 0, data)

    def _answer(self, unique: int, error: int, data: bytes = b"") -> None:
        try:
            os.write(self._device, _OUT.pack(_OUT.size + len(data), error, unique) + data)
        except OSError as failed:
            if failed.errno not in (errno.ENOENT, errno.ENODEV):  # who asked is gone
                raise

    # ---- names

    def _path(self, node: int, name: str = "") -> Path:
        """The file itself, or what has this name in the folder that it is."""
        return Path(f"/proc/self/fd/{self._nodes[node][0]}", name)

    def _attr(self, descriptor: int) -> bytes:
        s = os.fstat(descriptor)
        times = [t // 10**9 for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        parts = [t % 10**9 for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns)]
        return _ATTR.pack(
            s.st_ino, s.st_size, s.st_blocks, *times, *parts, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0, 4096, 0
        )

    def _entry(self, parent: int, name: str) -> bytes:
        descriptor = os.open(self._path(parent, name), os.O_PATH | os.O_NOFOLLOW)
        found = os.fstat(descriptor)
        key = (found.st_dev, found.st_ino)
        number = self._numbers.setdefault(key, len(self._nodes) + 1)
        if number in self._nodes:
            os.close(descriptor)
            descriptor = self._nodes[number][0]
        self._nodes[number] = (descriptor, name)
        return _ENTRY.pack(number, 0, 0, 0, 0, 0) + self._attr(descriptor)

    def _setattr(self, unique: int, node: int, body: bytes) -> bytes:
        valid, _, _, size, *rest = _SETATTR_IN.unpack_from(body)
        if valid & _SETATTR_SIZE:
            os.truncate(self._path(node), size)
        if valid & _SETATTR_MODE:
            self._path(node).chmod(rest[7] & 0o7777)
        return struct.pack("<QII", 0, 0, 0) + self._attr(self._nodes[node][0])

    def _mkdir(self, unique: int, node: int, body: bytes) -> bytes:
        name = body[8:-1].decode()
        self._path(node, name).mkdir(struct.unpack_from("<I", body)[0] & 0o7777)
        return self._entry(node, name)

    def _rename(self, node: int, new_node: int, names: bytes) -> bytes:
        old, new, _ = names.split(b"\0")
        self._path(node, old.decode()).rename(self._path(new_node, new.decode()))
        self._entry(new_node, new.decode())  # so that the node has its new name
        return b""

    def _readdir(self, unique: int, node: int, body: bytes) -> bytes:
        _, offset, size, *_ = _READ_IN.unpack_from(body)
        listed = b""
        for number, name in enumerate(
            [".", "..", *sorted(entry.name for entry in self._path(node).iterdir())], start=1
        ):
            if number > offset:
                raw = name.encode()
                row = struct.pack("<QQII", number, number, len(raw), 0) + raw
                row += bytes(-len(row) % 8)
                if len(listed) + len(row) > size:
                    break
                listed += row
        return listed

    def _statfs(self, unique: int, node: int, body: bytes) -> bytes:
        f = os.statvfs(self._path(1))
        sizes = (f.f_blocks, f.f_bfree, f.f_bavail, f.f_files, f.f_ffree, f.f_bsize, f.f_namemax, f.f_frsize)
        return struct.pack("<5Q4I24x", *sizes, 0)

    # ---- files

    def _open(self, unique: int, node: int, body: bytes) -> bytes:
        flags = struct.unpack_from("<I", body)[0] & (os.O_ACCMODE | os.O_TRUNC)
        handle = os.open(self._path(node), flags)
        return struct.pack("<QIi", handle, _DIRECT_IO, 0)

    def _create(self, unique: int, node: int, body: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", body)
        name = body[16:-1].decode()
        wanted = flags & (os.O_ACCMODE | os.O_TRUNC | os.O_EXCL) | os.O_CREAT
        handle = os.open(self._path(node, name), wanted, mode & 0o7777)
        return self._entry(node, name) + struct.pack("<QIi", handle, _DIRECT_IO, 0)

    def _read(self, unique: int, node: int, body: bytes) -> bytes | None:
        handle, offset, size, *_ = _READ_IN.unpack_from(body)
        return self._move(unique, node, "read", offset, size, lambda at, n: os.pread(handle, n, at))

    def _write(self, unique: int, node: int, body: bytes) -> bytes | None:
        handle, offset, size, *_ = _READ_IN.unpack_from(body)
        data = bytearray(body[_READ_IN.size : _READ_IN.size + size])

        def put(at: int, n: int) -> bytes:
            return struct.pack("<II", os.pwrite(handle, data[:n], at), 0)

        return self._move(unique, node, "write", offset, size, put, data)

    def _fsync(self, unique: int, node: int, body: bytes) -> bytes | None:
        (handle,) = struct.unpack_from("<Q", body)
        return self._move(unique, node, "fsync", 0, 1, lambda at, n: _nothing(os.fsync(handle)))

    def _move(
        self,
        unique: int,
        node: int,
        op: str,
        offset: int,
        size: int,
        act: Callable[[int, int], bytes],
        data: bytearray | None = None,
    ) -> bytes | None:
        """Do it, or what the rule says instead; None where the answer comes later or never."""
        rule = self._control.strikes(op, offset, size) if self._nodes[node][1] == DATA else None
        if rule is None:
            return act(offset, size)
        if rule.error:
            raise OSError(rule.error, os.strerror(rule.error))
        if rule.stall:
            if rule.stall == "killable":
                self._stalled.add(unique)
            return None
        if rule.delay_s:
            threading.Timer(rule.delay_s, self._late, (unique, act, offset, size)).start()
            return None
        if rule.lose:
            return struct.pack("<II", size, 0)
        if data is not None and rule.flip is not None:
            data[rule.flip // 8] ^= 1 << rule.flip % 8
        answer = act(offset if rule.elsewhere is None else rule.elsewhere, size if rule.short is None else rule.short)
        if data is None and rule.flip is not None:
            changed = bytearray(answer)
            changed[rule.flip // 8] ^= 1 << rule.flip % 8
            return bytes(changed)
        return answer

    def _late(self, unique: int, act: Callable[[int, int], bytes], offset: int, size: int) -> None:
        try:
            self._answer(unique, 0, act(offset, size))
        except OSError as error:
            self._answer(unique, -(error.errno or errno.EIO))


def _nothing(_: Any) -> bytes:
    return b""


_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, options: str) -> None:
    """mount(2). Raises OSError."""
    if _libc.mount(source.encode(), bytes(target), kind.encode(), 0, options.encode()) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def unmount(target: Path) -> None:
    """Take it out of the tree now, and let go of it when nobody has files of it open."""
    _libc.umount2(bytes(target), _MNT_DETACH)


def main() -> None:
    mountpoint, backing, control = map(Path, sys.argv[1:])
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount("kvscen-faults", mountpoint, "fuse.kvscen", f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other")

    def end_with_the_test() -> None:
        sys.stdin.read()
        unmount(mountpoint)
        # What waits for an answer gets an error from the kernel when the device is closed.
        os._exit(0)

    threading.Thread(target=end_with_the_test, daemon=True).start()
    print("ready", flush=True)
    Server(device, backing, Control(control)).serve()
    sys.stdin.close()


if __name__ == "__main__":
    main()
