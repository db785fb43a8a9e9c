"""Which parts of the files hold data, and making room in them.

A block that was never written costs nothing to read: the kernel makes up zeros for holes and for space that is only
reserved, at the speed of memory. So what counts as data is what the file system says was written, not the file's size:

    extents    FIEMAP: extents that are allocated and written
    seek       SEEK_DATA and SEEK_HOLE, where these are more than a pretence
    record     our own list of what was written, where the file system says nothing
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import numpy as np

from kvscen.plugin import Layout
from kvscen_drivers.posix.places import Piece

Method: TypeAlias = Literal["extents", "seek", "record"]
#: Half-open ranges of bytes, sorted, apart from each other.
Ranges: TypeAlias = list[tuple[int, int]]

RECORD = "blocks.written"

_FIEMAP = 0xC020660B
_FIEMAP_SYNC = 1
_EXTENTS = 2048
_HEAD = np.dtype(
    [("start", "<u8"), ("length", "<u8"), ("flags", "<u4"), ("mapped", "<u4"), ("room", "<u4"), ("pad", "<u4")]
)
_EXTENT = np.dtype(
    [
        ("logical", "<u8"),
        ("physical", "<u8"),
        ("length", "<u8"),
        ("pad", "<u8", 2),
        ("flags", "<u4"),
        ("rest", "<u4", 3),
    ]
)
_LAST, _UNKNOWN, _DELAYED, _UNWRITTEN = 0x1, 0x2, 0x4, 0x800


@attrs.frozen
class Holding:
    """What the file system says about a file: the ranges that hold data, and those that take space (or reserve it)."""

    written: Ranges
    allocated: Ranges


def method_for(fd: int) -> Method:
    """How to learn what is written. `fd` is a scratch file in the folder, which is emptied."""
    os.ftruncate(fd, 0)
    try:
        holding_by_extents(fd, 0, 1 << 20)
        return "extents"
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS):
            raise
    # A file system without SEEK_DATA takes the whole file for data, holes included.
    os.ftruncate(fd, 1 << 20)
    return "record" if holding_by_seek(fd, 0, 1 << 20).written else "seek"


def holding_by_extents(fd: int, first: int, end: int) -> Holding:
    """By FIEMAP, after writing back what is dirty: the extents that touch [first, end).

    Raises OSError where the file system has no FIEMAP.
    """
    count = min(_EXTENTS, max(1, (end - first) // 4096))
    room = np.zeros(_HEAD.itemsize + count * _EXTENT.itemsize, np.uint8)
    head, extents = room[: _HEAD.itemsize].view(_HEAD), room[_HEAD.itemsize :].view(_EXTENT)
    written, allocated = [], []
    while first < end:
        head[0] = (first, end - first, _FIEMAP_SYNC, 0, count, 0)
        fcntl.ioctl(fd, _FIEMAP, room.data, True)
        found = extents[: int(head["mapped"][0])]
        if not len(found):
            break
        ends = found["logical"] + found["length"]
        for start, stop, flags in zip(found["logical"].tolist(), ends.tolist(), found["flags"].tolist(), strict=True):
            if not flags & (_UNKNOWN | _DELAYED):
                allocated.append((start, stop))
                if not flags & _UNWRITTEN:
                    written.append((start, stop))
        first = int(ends[-1])
        if int(found["flags"][-1]) & _LAST:
            break
    size = os.fstat(fd).st_size
    return Holding(merged(written, size), merged(allocated))


def holding_by_seek(fd: int, first: int, end: int) -> Holding:
    """By SEEK_DATA and SEEK_HOLE, in [first, end): reserved space counts as a hole."""
    ranges: Ranges = []
    while first < end:
        try:
            start = os.lseek(fd, first, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind here
                break
            raise
        first = os.lseek(fd, start, os.SEEK_HOLE)
        ranges.append((start, first))
    return Holding(ranges, ranges)


def read_record(folder: Path) -> dict[str, Ranges]:
    """Our own record, by the name of the file. Empty when there is none, or when it is torn: data is written again."""
    try:
        written = json.loads((folder / RECORD).read_text())["written"]
        return {name: merged([(int(first), int(last)) for first, last in pairs]) for name, pairs in written.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def add_to_record(folder: Path, fresh: Mapping[str, Ranges]) -> None:
    """Call it with the folder locked (`alone`), after the data is on the device."""
    written = read_record(folder)
    for name, ranges in fresh.items():
        written[name] = merged(written.get(name, []) + ranges)
    scratch = folder / f".kvscen-{RECORD}"
    scratch.write_text(json.dumps({"written": written}))
    scratch.replace(folder / RECORD)


def merged(ranges: Ranges, size: int | None = None) -> Ranges:
    """Sorted, with touching ranges joined, cut off at `size`."""
    joined: Ranges = []
    for first, last in sorted(ranges):
        if size is not None:
            last = min(last, size)
        if first >= last:
            continue
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def keys_missing(piece: Piece, layout: Layout, written: Ranges) -> Sequence[int]:
    """The keys of the piece whose block is not wholly inside one written range of its file, in order."""
    stride, block = layout.stride_bytes, layout.block_bytes
    at, last = 0, piece.keys  # numbers of blocks in the piece
    gaps = []
    for start, stop in written:
        # The blocks that lie in [start, stop).
        low, high = max(-(-(start - piece.first) // stride), at), min((stop - piece.first - block) // stride + 1, last)
        if low < high:
            gaps.append(range(at, low))
            at = high
    gaps.append(range(at, last))
    return joined([range(piece.first_key + gap.start, piece.first_key + gap.stop) for gap in gaps])


def joined(parts: Iterable[Sequence[int]]) -> Sequence[int]:
    """One sequence of keys out of several, in order: a range where that is enough, else an array."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return range(0)
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.asarray(part) for part in parts])  # type: ignore[return-value]  # read like a sequence


def uncovered(first: int, end: int, ranges: Ranges) -> int:
    """How many bytes of [first, end) none of `ranges` covers."""
    return end - first - sum(max(0, min(end, stop) - max(first, start)) for start, stop in ranges)


@contextmanager
def alone(fd: int) -> Iterator[None]:
    """Hold the folder, by a file in it, against the other workers of this run while its files are grown.

    Where the file system has no locks the folder is not held.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)


def grow(fd: int, first: int, end: int, reserve: bool) -> None:
    """Make the file reach `end` (it never shrinks) and, where the file system can, reserve [first, end) in few pieces.

    What is reserved reads as zeros and counts as unwritten. Raises OSError (ENOSPC, EFBIG, EDQUOT).
    """
    if os.fstat(fd).st_size < end:
        os.ftruncate(fd, end)
    if not reserve or end <= first:
        return
    # posix_fallocate would write zeros where the file system cannot reserve, and these would pass for data.
    if _fallocate(fd, 0, first, end - first) < 0:
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINTR):
            raise OSError(code, os.strerror(code))


_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.restype = ctypes.c_int
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
