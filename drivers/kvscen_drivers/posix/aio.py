"""Linux native AIO (what libaio wraps) from Python: numpy views of its structures, system calls by ctypes. No compiled
code.

The layouts are those of `include/uapi/linux/aio_abi.h` on little-endian machines.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

#: io_setup, io_destroy, io_getevents, io_submit.
_NUMBERS: Mapping[str, tuple[int, int, int, int]] = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
_READ, _WRITE = 0, 1

_IOCB = np.dtype(
    [
        ("data", "<u8"),
        ("key", "<u4"),
        ("rw_flags", "<u4"),
        ("opcode", "<u2"),
        ("priority", "<i2"),
        ("fd", "<u4"),
        ("address", "<u8"),
        ("length", "<u8"),
        ("offset", "<i8"),
        ("reserved", "<u8"),
        ("flags", "<u4"),
        ("resfd", "<u4"),
    ]
)
_EVENT = np.dtype([("data", "<u8"), ("iocb", "<u8"), ("result", "<i8"), ("result2", "<i8")])

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 6


class Context:
    """A queue of at most `entries` operations in flight, as `uring.Ring` is one. Raises OSError where there is none.

    An operation that the kernel does not even start (a bad descriptor) ends with its errno like any other.
    """

    fixed_files = False

    def __init__(self, entries: int) -> None:
        self._setup, self._destroy, self._getevents, self._submit = _numbers()
        context = np.zeros(1, np.uint64)
        _checked(_syscall(self._setup, entries, context.ctypes.data, 0, 0, 0), "io_setup")
        self._context = context.view(np.int64).item()
        # What is queued lies side by side; there is room for as much again, so that it is moved up seldom.
        self._iocbs = np.zeros(2 * entries, _IOCB)
        self._columns = tuple(
            self._iocbs[name] for name in ("fd", "offset", "address", "length", "data", "opcode", "rw_flags")
        )
        self._iocb_address, self._iocb_slot = self._iocbs["address"], self._iocbs["data"].view(np.int64)
        self._pointers = self._iocbs.ctypes.data + 64 * np.arange(2 * entries, dtype=np.uint64)
        self._pointers_address = self._pointers.ctypes.data
        self._first = self._last = 0
        self._events = np.zeros(entries, _EVENT)
        self._events_address = self._events.ctypes.data
        self._event_slot, self._event_result = self._events["data"].view(np.int64), self._events["result"]
        self._taken = self._found = 0
        self._wait = np.zeros(2, np.int64)
        self._wait_address = self._wait.ctypes.data
        self._in_flight = 0

    @property
    def queued(self) -> int:
        """Operations that are put in and not yet handed over."""
        return self._last - self._first

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
        where = self._room_for(len(slots))
        opcodes, flags = _WRITE * writes, write_flags * writes
        values = (files, offsets, addresses, lengths, slots, opcodes, flags)
        for column, value in zip(self._columns, values, strict=True):
            column[where] = value

    def put_one(
        self, slot: int, write: bool, file: int, offset: int, address: int, length: int, write_flags: int
    ) -> None:
        """`put` for one operation."""
        at = self._room_for(1).start
        self._iocbs[at] = (
            *(slot, 0, write_flags if write else 0, _WRITE if write else _READ, 0),
            *(file, address, length, offset, 0, 0, 0),
        )

    def _room_for(self, count: int) -> slice:
        if self._last + count > len(self._iocbs):
            left = self.queued
            self._iocbs[:left] = self._iocbs[self._first : self._last].copy()
            self._first, self._last = 0, left
        self._last += count
        return slice(self._last - count, self._last)

    def next(self, count: int) -> npt.NDArray[np.int64]:
        """The slots of those that are handed over next."""
        return self._iocb_slot[self._first : self._first + count].copy()

    def place(self, addresses: npt.NDArray[np.uint64]) -> None:
        """The memory of those that are handed over next, as many as there are addresses."""
        self._iocb_address[self._first : self._first + len(addresses)] = addresses

    def newest(self, count: int) -> npt.NDArray[np.int64]:
        """The slots of the last `count` completions that are ready."""
        return self._event_slot[self._found - count : self._found]

    def ready(self) -> int:
        """Completions that wait to be taken."""
        return self._found - self._taken

    def take(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Slots and results (bytes, or an errno below 0) of the first `count` of them; count <= ready()."""
        found = slice(self._taken, self._taken + count)
        self._taken += count
        return self._event_slot[found].copy(), self._event_result[found].copy()

    def take_one(self) -> tuple[int, int]:
        """`take` for one; 1 <= ready()."""
        at = self._taken
        self._taken += 1
        return int(self._event_slot[at]), int(self._event_result[at])

    def enter(self, hand_over: int, wait_for: int, timeout_ns: int) -> None:
        """Hand over so many of what is queued, then wait until `wait_for` completions are ready or `timeout_ns` has
        passed.

        It may do less (a signal, no memory for all requests): the caller looks and calls again. Raises OSError.
        """
        if self._taken == self._found:
            self._taken = self._found = 0
        elif self._taken:
            left = self.ready()
            self._events[:left] = self._events[self._taken : self._found].copy()
            self._taken, self._found = 0, left
        if hand_over:
            self._hand_over(hand_over)
        wanted = max(0, min(wait_for - self._found, self._in_flight))
        if not self._in_flight or (wait_for and not wanted):
            return
        self._wait[0], self._wait[1] = divmod(timeout_ns, 1_000_000_000)
        count = _syscall(
            *(self._getevents, self._context, wanted, len(self._events) - self._found),
            *(self._events_address + 32 * self._found, self._wait_address),
        )
        if count >= 0:
            self._found += count
            self._in_flight -= count
        elif ctypes.get_errno() != errno.EINTR:  # Python repeats its own system calls only
            _checked(count, "io_getevents")

    def _hand_over(self, count: int) -> None:
        done = _syscall(self._submit, self._context, count, self._pointers_address + 8 * self._first, 0, 0)
        if done < 0:
            code = ctypes.get_errno()
            if code in (errno.EINTR, errno.EAGAIN):
                return
            # The first one cannot be started; those behind it are not at fault.
            self._events[self._found] = (self._iocbs["data"][self._first], 0, -code, 0)
            self._found += 1
            self._first += 1
        else:
            self._first += done
            self._in_flight += done
        if self._first == self._last:
            self._first = self._last = 0

    def close(self) -> None:
        """With operations in flight nothing is given back: the kernel's io_destroy would wait for them."""
        if not self._in_flight:
            _syscall(self._destroy, self._context, 0, 0, 0, 0)


def why_not() -> str | None:
    """Why native AIO cannot be used here, as the rest of a sentence; None where it can."""
    try:
        Context(4).close()
    except OSError as error:
        return explain(error)
    return None


def explain(error: OSError) -> str:
    """The reason behind a context that the kernel did not give."""
    match error.errno:
        case errno.ENOSYS:
            return "the kernel has no native AIO, or not for this kind of machine"
        case errno.EPERM | errno.EACCES:
            return "native AIO is not permitted here (a container's seccomp profile, or a security policy)"
        case errno.EAGAIN:
            return "all native AIO requests of this machine are in use (sysctl fs.aio-max-nr)"
    return f"native AIO does not work here: {error.strerror}"


def _numbers() -> tuple[int, int, int, int]:
    found = _NUMBERS.get(platform.machine())
    if found is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return found


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
