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

_SETUP, _ENTER, _REGISTER = 425, 426, 427
_FEATURES = {"IORING_FEAT_SINGLE_MMAP": 1 << 0, "IORING_FEAT_NODROP": 1 << 1, "IORING_FEAT_EXT_ARG": 1 << 8}
#: IORING_SETUP_COOP_TASKRUN, Linux 5.19 and newer: a completion waits for our next visit to the kernel instead of
#: interrupting us. Where the kernel serves operations on threads of its own (tmpfs) twice as many then come at a time.
_COOPERATIVE = 1 << 8
_GETEVENTS, _EXT_ARG = 1 << 0, 1 << 3
_OFFSET_SQES = 0x10000000
_MAP_POPULATE = 0x8000

#: Opcodes by whether the buffer is registered, and whether it is a write.
_OPCODES = ((22, 23), (4, 5))
_REGISTER_BUFFERS, _REGISTER_FILES = 0, 2
_FIXED_FILE = 1 << 0
#: The largest buffer that the kernel registers.
_MAX_REGISTERED = 1 << 30

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
        ("buffer_index", "<u2"),
        ("pad", "<u2", 3),
        ("rest", "<u8", 2),
    ]
)
_CQE = np.dtype([("user_data", "<u8"), ("result", "<i4"), ("flags", "<u4")])
#: The same without numpy: an entry up to and with `buffer_index`, and a completion.
_SQE_HEAD = struct.Struct("<BBHiQQIIQH")
_CQE_FORM = struct.Struct("<QiI")

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7


class Ring:
    """A queue of at most `entries` operations in flight. Raises OSError where the kernel does not give it.

    What is put in with `put` is handed over by the next `enter`; `take` gives the slots that ended. `put_one` and
    `take_one` are the same for a single operation: arrays cost more than they save when there are few.
    """

    def __init__(self, entries: int) -> None:
        self.fd, params = _set_up(entries)
        try:
            self._map(params[0])
        except BaseException:
            os.close(self.fd)
            raise
        #: Entries that are put in and not yet handed over.
        self.queued = 0
        self.fixed_files = False
        self._file_flag = 0
        self._opcodes = _OPCODES[0]
        # Where buffers are registered: the first byte, and the distance between the beginnings of two of them.
        self._base, self._step = 0, 0

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
        # Entries are used in the order of the ring, so the kernel's table of which entry comes when never changes.
        np.frombuffer(self._rings, np.uint32, size, int(params["sq_array"]))[:] = np.arange(size)
        self._size, self._sq_mask, self._cq_mask = size, size - 1, cq_size - 1
        sqes = np.frombuffer(self._entries, _SQE, size)
        self._columns = tuple(sqes[name] for name in ("fd", "offset", "address", "length", "user_data"))
        self._sqe_opcode, self._sqe_flags = sqes["opcode"], sqes["flags"]
        self._sqe_rw_flags, self._sqe_buffer = sqes["rw_flags"], sqes["buffer_index"]
        self._sqe_address, self._sqe_slot = sqes["address"], sqes["user_data"].view(np.int64)
        self._cq_offset = int(params["cqes"])
        cqes = np.frombuffer(self._rings, _CQE, cq_size, self._cq_offset)
        self._cqe_slot, self._cqe_result = cqes["user_data"].view(np.int64), cqes["result"]
        self._steps, self._cq_size = np.arange(cq_size), cq_size
        self._tail, self._head = int(self._sq_tail[0]), int(self._cq_head[0])
        # struct io_uring_getevents_arg {sigmask, sigmask_sz, pad, ts} and the __kernel_timespec that `ts` points to.
        self._wait = np.zeros(5, np.int64)
        self._wait_address = self._wait.ctypes.data
        self._wait[2] = self._wait_address + 24

    def register_buffers(self, address: int, nbytes: int, longest: int) -> None:
        """Have the kernel pin [address, address + nbytes) once and for all; no operation is longer than `longest`.

        More than 1 GiB is registered as pieces that overlap by the longest operation, so that each lies in one of them.
        Raises OSError.
        """
        step = _MAX_REGISTERED - longest if nbytes > _MAX_REGISTERED else nbytes
        if step <= 0:
            raise OSError(errno.EFBIG, "buffers of more than 1 GiB cannot be registered")
        starts = range(0, nbytes, step)
        vectors = np.array([(address + start, min(_MAX_REGISTERED, nbytes - start)) for start in starts], np.uint64)
        _checked(
            _syscall(_REGISTER, self.fd, _REGISTER_BUFFERS, vectors.ctypes.data, len(vectors), 0, 0), "register buffers"
        )
        self._opcodes, self._base, self._step = _OPCODES[1], address, step

    def register_files(self, descriptors: npt.NDArray[np.int32]) -> None:
        """From now on a file is named by its index in `descriptors`. Raises OSError."""
        table = np.ascontiguousarray(descriptors, np.int32)
        _checked(_syscall(_REGISTER, self.fd, _REGISTER_FILES, table.ctypes.data, len(table), 0, 0), "register files")
        self.fixed_files, self._file_flag = True, _FIXED_FILE

    def put(
        self,
        slots: npt.NDArray[np.int64],
        writes: npt.NDArray[np.bool_] | bool,
        files: npt.NDArray[np.int32] | int,
        offsets: npt.NDArray[np.uint64],
        addresses: npt.NDArray[np.uint64],
        lengths: npt.NDArray[np.uint64],
        write_flags: int,
    ) -> None:
        """Operations after those that are queued, for the next `enter`; no more than there is room for."""
        count = len(slots)
        where = self._entries_from(self._tail, count)
        for column, values in zip(self._columns, (files, offsets, addresses, lengths, slots), strict=True):
            column[where] = values
        read, write = self._opcodes
        self._sqe_opcode[where] = read + (write - read) * writes
        self._sqe_rw_flags[where] = write_flags * writes
        self._sqe_flags[where] = self._file_flag
        if self._step:
            self._sqe_buffer[where] = (addresses - np.uint64(self._base)) // np.uint64(self._step)
        self._tail = (self._tail + count) & 0xFFFFFFFF
        # The kernel reads the tail inside our own system call: no barrier is needed.
        self._sq_tail[0] = self._tail
        self.queued += count

    def put_one(
        self, slot: int, write: bool, file: int, offset: int, address: int, length: int, write_flags: int
    ) -> None:
        """`put` for one operation."""
        index = (address - self._base) // self._step if self._step else 0
        _SQE_HEAD.pack_into(
            self._entries,
            64 * (self._tail & self._sq_mask),
            *(self._opcodes[write], self._file_flag, 0, file, offset, address, length),
            *(write_flags if write else 0, slot, index),
        )
        self._tail = (self._tail + 1) & 0xFFFFFFFF
        self._sq_tail[0] = self._tail
        self.queued += 1

    def next(self, count: int) -> npt.NDArray[np.int64]:
        """The slots of those that are handed over next."""
        slots: npt.NDArray[np.int64] = self._sqe_slot[self._entries_from(self._tail - self.queued, count)].copy()
        return slots

    def place(self, addresses: npt.NDArray[np.uint64]) -> None:
        """The memory of those that are handed over next, as many as there are addresses."""
        where = self._entries_from(self._tail - self.queued, len(addresses))
        self._sqe_address[where] = addresses
        if self._step:
            self._sqe_buffer[where] = (addresses - np.uint64(self._base)) // np.uint64(self._step)

    def _entries_from(self, position: int, count: int) -> slice | npt.NDArray[np.int64]:
        """Where the `count` entries from a position in the ring's endless sequence are in it."""
        first = position & self._sq_mask
        if first + count <= self._size:
            return slice(first, first + count)
        return (self._steps[:count] + first) & self._sq_mask

    def newest(self, count: int) -> npt.NDArray[np.int64]:
        """The slots of the last `count` completions that are ready."""
        first = (self._head + self.ready() - count) & self._cq_mask
        where: slice | npt.NDArray[np.int64] = slice(first, first + count)
        if first + count > self._cq_size:
            where = (self._steps[:count] + first) & self._cq_mask
        slots: npt.NDArray[np.int64] = self._cqe_slot[where]
        return slots

    def ready(self) -> int:
        """Completions that wait to be taken."""
        return (int(self._cq_tail[0]) - self._head) & 0xFFFFFFFF

    def take(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Slots and results (bytes, or an errno below 0) of the first `count` of them; count <= ready()."""
        first = self._head & self._cq_mask
        if first + count <= self._cq_size:
            slots, results = (
                self._cqe_slot[first : first + count].copy(),
                self._cqe_result[first : first + count].copy(),
            )
        else:
            where = (self._steps[:count] + first) & self._cq_mask
            slots, results = self._cqe_slot[where], self._cqe_result[where]
        self._head = (self._head + count) & 0xFFFFFFFF
        self._cq_head[0] = self._head
        return slots, results

    def take_one(self) -> tuple[int, int]:
        """`take` for one; 1 <= ready()."""
        slot, result, _ = _CQE_FORM.unpack_from(self._rings, self._cq_offset + 16 * (self._head & self._cq_mask))
        self._head = (self._head + 1) & 0xFFFFFFFF
        self._cq_head[0] = self._head
        return slot, result

    def enter(self, hand_over: int, wait_for: int, timeout_ns: int) -> None:
        """Hand over so many of what is queued, then wait until `wait_for` completions are ready or `timeout_ns` has
        passed.

        One system call. It may do less (a signal, no memory for all requests): the caller looks and calls again.
        Raises OSError.
        """
        flags = argument = size = 0
        if wait_for:
            self._wait[3], self._wait[4] = divmod(timeout_ns, 1_000_000_000)
            flags, argument, size = _GETEVENTS | _EXT_ARG, self._wait_address, 24
        done = _syscall(_ENTER, self.fd, hand_over, wait_for, flags, argument, size)
        if done >= 0:
            self.queued -= done
        elif ctypes.get_errno() not in (errno.EINTR, errno.ETIME, errno.EAGAIN, errno.EBUSY):
            _checked(done, "io_uring_enter")

    def close(self) -> None:
        """The kernel finishes or cancels what is in flight by itself; its buffers stay pinned until then."""
        os.close(self.fd)
        for name in [name for name, value in vars(self).items() if isinstance(value, np.ndarray | tuple)]:
            delattr(self, name)
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


def _set_up(entries: int) -> tuple[int, npt.NDArray[np.void]]:
    """A ring's descriptor and its parameters, with cooperative completion where the kernel knows it. Raises OSError."""
    for flags in (_COOPERATIVE, 0):
        params = np.zeros(1, _PARAMS)
        params["flags"] = flags
        descriptor = _syscall(_SETUP, entries, params.ctypes.data, 0, 0, 0, 0)
        if descriptor >= 0 or ctypes.get_errno() != errno.EINVAL:
            break
    return _checked(descriptor, "io_uring_setup"), params


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
