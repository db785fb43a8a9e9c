"""io_uring from Python: numpy views of the kernel's rings, and two system calls by ctypes. No compiled code.

The layouts are those of `include/uapi/linux/io_uring.h`; the system calls have the same numbers on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

_SETUP, _ENTER = 425, 426
_FEATURES = {"IORING_FEAT_SINGLE_MMAP": 1 << 0, "IORING_FEAT_NODROP": 1 << 1, "IORING_FEAT_EXT_ARG": 1 << 8}
_GETEVENTS, _EXT_ARG = 1 << 0, 1 << 3
_OFFSET_SQES = 0x10000000
_MAP_POPULATE = 0x8000

OP_READ, OP_WRITE = 22, 23
#: An opcode that no kernel has: the operation comes back with EINVAL, in its turn, like any other.
OP_INVALID = 255

_PARAMS = np.dtype(
    [
        *((name, "<u4") for name in ("sq_entries", "cq_entries", "flags", "cpu", "idle", "features", "wq_fd")),
        ("reserved", "<u4", 3),
        *((name, "<u4") for name in ("sq_head", "sq_tail", "sq_mask", "sq_size", "sq_flags", "sq_dropped", "sq_array")),
        ("sq_reserved", "<u4"),
        ("sq_address", "<u8"),
        *((name, "<u4") for name in ("cq_head", "cq_tail", "cq_mask", "cq_size", "cq_overflow", "cqes", "cq_flags")),
        ("cq_reserved", "<u4"),
        ("cq_address", "<u8"),
    ]
)
_SQE = np.dtype(
    [
        ("opcode", "u1"),
        ("flags", "u1"),
        ("priority", "<u2"),
        ("fd", "<i4"),
        ("offset", "<u8"),
        ("address", "<u8"),
        ("length", "<u4"),
        ("rw_flags", "<u4"),
        ("user_data", "<u8"),
        ("rest", "<u8", 3),
    ]
)
_CQE = np.dtype([("user_data", "<u8"), ("result", "<i4"), ("flags", "<u4")])
#: The same without numpy: an entry up to and with `user_data`, and a completion.
_SQE_HEAD = struct.Struct("<BBHiQQIIQ")
_CQE_FORM = struct.Struct("<QiI")

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7


class Ring:
    """One ring of at least `entries` submissions. Raises OSError where the kernel does not give it.

    `sqes` are the submission entries; what is filled in is queued with `queue` and handed over by the next `enter`. A
    completion's `user_data` is the number of its submission entry. `queue_one` and `take_one` are the same for a single
    operation: arrays cost more than they save when there are few.
    """

    def __init__(self, entries: int) -> None:
        params = np.zeros(1, _PARAMS)
        self.fd = _checked(_syscall(_SETUP, entries, params.ctypes.data, 0, 0, 0, 0), "io_uring_setup")
        try:
            self._map(params[0])
        except BaseException:
            os.close(self.fd)
            raise

    def _map(self, params: np.void) -> None:
        lacking = [name for name, bit in _FEATURES.items() if not int(params["features"]) & bit]
        if lacking:
            raise OSError(errno.ENOSYS, f"Linux 5.11 or newer is needed ({', '.join(lacking)})")
        size, cq_size = int(params["sq_entries"]), int(params["cq_entries"])
        length = max(int(params["sq_array"]) + 4 * size, int(params["cqes"]) + 16 * cq_size)
        flags, access = mmap.MAP_SHARED | _MAP_POPULATE, mmap.PROT_READ | mmap.PROT_WRITE
        self._rings = mmap.mmap(self.fd, length, flags, access, offset=0)
        self._entries = mmap.mmap(self.fd, 64 * size, flags, access, offset=_OFFSET_SQES)

        def cell(name: str) -> npt.NDArray[np.uint32]:
            return np.frombuffer(self._rings, np.uint32, 1, int(params[name]))

        self._sq_tail, self._cq_head, self._cq_tail = cell("sq_tail"), cell("cq_head"), cell("cq_tail")
        self._array = np.frombuffer(self._rings, np.uint32, size, int(params["sq_array"]))
        self._sq_mask, self._cq_mask = size - 1, cq_size - 1
        self.sqes = np.frombuffer(self._entries, _SQE, size)
        self._cq_offset = int(params["cqes"])
        self._cqes = np.frombuffer(self._rings, _CQE, cq_size, self._cq_offset)
        self.sqes["user_data"] = np.arange(size)
        self._steps = np.arange(size)
        self._tail, self._head = int(self._sq_tail[0]), int(self._cq_head[0])
        #: Entries that are queued and not yet handed over.
        self.queued = 0
        # struct io_uring_getevents_arg {sigmask, sigmask_sz, pad, ts} and the __kernel_timespec that `ts` points to.
        self._wait = np.zeros(5, np.int64)
        self._wait[2] = self._wait.ctypes.data + 24

    def queue(self, slots: npt.NDArray[np.int64]) -> None:
        """Queue the entries `slots` (filled in already) after those that are queued."""
        count = len(slots)
        self._array[(self._steps[:count] + self._tail) & self._sq_mask] = slots
        self._tail = (self._tail + count) & 0xFFFFFFFF
        # The kernel reads the tail inside our own system call: no barrier is needed.
        self._sq_tail[0] = self._tail
        self.queued += count

    def queue_one(self, slot: int, opcode: int, fd: int, offset: int, address: int, length: int) -> None:
        """Fill in the entry `slot` and queue it."""
        _SQE_HEAD.pack_into(self._entries, 64 * slot, opcode, 0, 0, fd, offset, address, length, 0, slot)
        self._array[self._tail & self._sq_mask] = slot
        self._tail = (self._tail + 1) & 0xFFFFFFFF
        self._sq_tail[0] = self._tail
        self.queued += 1

    def ready(self) -> int:
        """Completions that wait to be taken."""
        return (int(self._cq_tail[0]) - self._head) & 0xFFFFFFFF

    def take(self, count: int) -> npt.NDArray[np.void]:
        """The first `count` of them (a copy); count <= ready()."""
        taken: npt.NDArray[np.void] = self._cqes[(np.arange(count) + self._head) & self._cq_mask]
        self._head = (self._head + count) & 0xFFFFFFFF
        self._cq_head[0] = self._head
        return taken

    def take_one(self) -> tuple[int, int]:
        """`user_data` and `result` of the first of them; 1 <= ready()."""
        slot, result, _ = _CQE_FORM.unpack_from(self._rings, self._cq_offset + 16 * (self._head & self._cq_mask))
        self._head = (self._head + 1) & 0xFFFFFFFF
        self._cq_head[0] = self._head
        return slot, result

    def enter(self, wait_for: int, timeout_ns: int) -> None:
        """Hand over what is queued, then wait until `wait_for` completions are ready or `timeout_ns` has passed.

        One system call. It may do less (a signal, no memory for all requests): the caller looks and calls again.
        Raises OSError.
        """
        flags = argument = size = 0
        if wait_for:
            self._wait[3], self._wait[4] = divmod(timeout_ns, 1_000_000_000)
            flags, argument, size = _GETEVENTS | _EXT_ARG, self._wait.ctypes.data, 24
        done = _syscall(_ENTER, self.fd, self.queued, wait_for, flags, argument, size)
        if done >= 0:
            self.queued -= done
        elif ctypes.get_errno() not in (errno.EINTR, errno.ETIME, errno.EAGAIN, errno.EBUSY):
            _checked(done, "io_uring_enter")

    def close(self) -> None:
        """The kernel finishes or cancels what is in flight by itself; its buffers stay pinned until then."""
        os.close(self.fd)
        for name in ("_sq_tail", "_cq_head", "_cq_tail", "_array", "sqes", "_cqes"):
            setattr(self, name, None)
        with contextlib.suppress(BufferError):  # a view that somebody still holds: the mapping goes with it
            self._rings.close()
            self._entries.close()


def why_not() -> str | None:
    """Why io_uring cannot be used here, as the rest of a sentence; None where it can."""
    try:
        Ring(4).close()
    except OSError as error:
        return explain(error)
    return None


def explain(error: OSError) -> str:
    """The reason behind a ring that the kernel did not give."""
    match error.errno:
        case errno.ENOSYS:
            return error.strerror if error.strerror and "5.11" in error.strerror else "the kernel has no io_uring"
        case errno.EPERM | errno.EACCES:
            with contextlib.suppress(OSError, ValueError):
                setting = int(Path("/proc/sys/kernel/io_uring_disabled").read_text())
                if setting:
                    return f"io_uring is switched off (sysctl kernel.io_uring_disabled = {setting})"
            return "io_uring is not permitted here (a container's seccomp profile, or a security policy)"
        case errno.ENOMEM:
            return "no memory for io_uring's rings (`ulimit -l`, the limit of locked memory)"
    return f"io_uring does not work here: {error.strerror}"


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
