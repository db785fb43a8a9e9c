"""What the machine says about a file: does direct I/O bypass the page cache, which file system and device are under it.

That `open` accepts O_DIRECT proves nothing: some file systems take the flag and serve from the page cache. Proof is the
alignment that statx reports (Linux 6.1 and newer), or, where the kernel does not say, that a read which is not aligned
is refused while an aligned one works.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
import struct
from pathlib import Path

import attrs

_AT_EMPTY_PATH = 0x1000
_STATX_DIOALIGN = 0x2000
_libc = ctypes.CDLL(None, use_errno=True)
_statx = getattr(_libc, "statx", None)

#: cachestat(2), Linux 6.5 and newer, has one number on all architectures.
_CACHESTAT = 451
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 5
#: mincore(2) looks at so much at a time.
_MINCORE_BYTES = 1 << 30

#: Alignments tried where the kernel does not say, in bytes.
_TRIED = (512, 4096)


@attrs.frozen
class Alignment:
    """What direct I/O on a file asks for, in bytes, and how that is known."""

    memory_bytes: int
    offset_bytes: int
    source: str

    @property
    def bytes(self) -> int:
        """One figure for both: they are powers of two."""
        return max(self.memory_bytes, self.offset_bytes)

    def __str__(self) -> str:
        return f"{self.source} {self.memory_bytes}/{self.offset_bytes} (memory/offset)"


def scratch(folder: Path, name: str | None = None) -> int | None:
    """An unnamed file in the folder, gone when it is closed. Raises OSError.

    Where the file system has no such files: one that is called `name` for a moment, or None where no name is given.
    """
    try:
        return os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS):
            raise
    if name is None:
        return None
    path = folder / f"{name}-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    path.unlink()
    return descriptor


def direct_alignment(descriptor: int) -> Alignment | None:
    """What direct I/O asks for; None where there is no proof that it bypasses the page cache. Raises OSError.

    `descriptor` is a scratch file in the folder, which is written to where the kernel does not say.
    """
    return _reported(descriptor) or _tried(descriptor)


def _reported(descriptor: int) -> Alignment | None:
    """The alignment by statx."""
    if _statx is None:
        return None
    buffer = ctypes.create_string_buffer(256)
    if _statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, buffer) < 0:
        return None
    (mask,) = struct.unpack_from("<I", buffer, 0)
    memory, offset = struct.unpack_from("<II", buffer, 152)
    if not mask & _STATX_DIOALIGN or not offset:
        return None
    return Alignment(memory, offset, "statx alignment")


def _tried(scratch_file: int) -> Alignment | None:
    """The alignment by trial, on a scratch file."""
    size = 4 * max(_TRIED)
    os.pwrite(scratch_file, os.urandom(size), 0)
    os.fsync(scratch_file)
    try:
        direct = os.open(f"/proc/self/fd/{scratch_file}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with mmap.mmap(-1, size) as memory, memoryview(memory) as view:
            if _reads(direct, view[: min(_TRIED)], 1):
                return None  # nothing refuses what direct I/O cannot do: the page cache serves it
            for grain in _TRIED:
                if _reads(direct, view[:grain], grain):
                    # Memory is not tried: the same figure is safe for it.
                    return Alignment(grain, grain, "alignment by trial")
    finally:
        os.close(direct)
    return None


def _reads(descriptor: int, view: memoryview, offset: int) -> bool:
    with contextlib.suppress(OSError):
        return os.preadv(descriptor, [view], offset) == len(view)
    return False


def cached_bytes(descriptor: int, first: int, end: int) -> int | None:
    """How many bytes of [first, end) of the file are in the page cache, in whole pages; None where nobody says.

    By cachestat, else by mincore. Raises OSError for a descriptor that is none.
    """
    asked, told = struct.pack("QQ", first, end - first), ctypes.create_string_buffer(40)
    given = ctypes.create_string_buffer(asked, len(asked))
    if _syscall(_CACHESTAT, descriptor, ctypes.addressof(given), ctypes.addressof(told), 0) == 0:
        pages: int = struct.unpack_from("Q", told)[0]
        return min(pages * mmap.PAGESIZE, end - first)
    if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP):
        return None
    return _cached_by_mincore(descriptor, first, end)


def _cached_by_mincore(descriptor: int, first: int, end: int) -> int | None:
    found, at = 0, first - first % mmap.PAGESIZE
    end = min(end, os.fstat(descriptor).st_size)
    while at < end:
        length = min(end - at, _MINCORE_BYTES)
        try:
            mapping = mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=at)
        except (OSError, ValueError):
            return None
        with mapping:
            byte = ctypes.c_char.from_buffer(mapping)
            pages = ctypes.create_string_buffer(-(-length // mmap.PAGESIZE))
            refused = _libc.mincore(ctypes.c_void_p(ctypes.addressof(byte)), ctypes.c_size_t(length), pages)
            del byte
        if refused:
            return None
        found += sum(page & 1 for page in pages.raw) * mmap.PAGESIZE
        at += length
    return min(found, max(0, end - first))


def file_system(path: Path) -> str:
    """The file system at `path` and what it is on, for a sentence: "ext4 on vda", "tmpfs"."""
    real = os.path.realpath(path)
    kind, best = "an unknown file system", -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        mounted = re.sub(
            r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split()[4]
        )  # a space is written \040
        inside = real == mounted or real.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= best:  # of two on one point, the later one covers
            kind, best = tail.split()[0], len(mounted)
    device = _block_device(real)
    return f"{kind} on {device.name}" if device is not None else kind


def device_bytes(path: Path) -> dict[str, int]:
    """Bytes that the block device under `path` has read and written, for whomever; empty where there is none."""
    device = _block_device(path)
    if device is None:
        return {}
    fields = (device / "stat").read_text().split()
    # Sectors in these files are of 512 bytes whatever the device's are (Documentation/block/stat.rst).
    return {"device_read_bytes": int(fields[2]) * 512, "device_write_bytes": int(fields[6]) * 512}


def _block_device(path: str | Path) -> Path | None:
    """The folder of the device in /sys. Network, memory and stacked file systems have none."""
    number = Path(path).stat().st_dev
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return link.resolve() if (link / "stat").exists() else None
