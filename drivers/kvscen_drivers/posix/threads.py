"""The lane of the engine `threads`: a blocking `preadv` or `pwritev` in a thread for each operation in flight.

The threads of a Python process take turns: one that comes back from the kernel waits until another goes there. So what
can be said of an operation beforehand is said in `jobs`, for all that are submitted together, and a thread does little
more than call the kernel and read the clock.

With direct I/O they also share one CPU, with the thread that uses the lane. Two threads on two CPUs that come back at
the same time take turns all the same, and the one that waits goes to sleep for it: that made 2.8 switches for each
operation of 64 KiB instead of 1, twice the CPU time and a tenth less throughput (16 in flight). Buffered I/O copies in
the kernel, where threads do not take turns: there they run wherever they want.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable

from kvscen.plugin import READ, WRITE, Arena, Clock, Job, Rows, ThreadLane
from kvscen_drivers.posix.files import Files
from kvscen_drivers.posix.places import Area


class FileLane(ThreadLane):
    """`depth` operations accepted, `threads` of them running at once, all on `cpus` unless that is empty."""

    def __init__(
        self, files: Files, area: Area, arena: Arena, depth: int, clock: Clock, threads: int, cpus: frozenset[int]
    ) -> None:
        self._files, self._area, self.cpus = files, area, cpus
        # The part of the arena that begins at a byte and has a length, as the kernel is given it.
        self._parts: dict[tuple[int, int], list[memoryview]] = {}
        super().__init__(None, arena, depth, clock, threads)

    def serve(self) -> None:
        if self.cpus:
            with contextlib.suppress(OSError):  # the CPUs that are allowed may have changed: then anywhere
                os.sched_setaffinity(0, self.cpus)  # of this thread alone
        super().serve()

    def jobs(self, ops: Rows, submitted: int | None) -> Iterable[Job]:
        files, find, flags = self._files, self._area.find, self._files.write_flags
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            spot = find(key, offset, nbytes)
            first = None if submitted is None else buffer
            if spot is None or (first or 0) + nbytes > len(self._view) or kind not in (READ, WRITE):
                yield number, submitted, nbytes, _refuse, ()
                continue
            file, at = spot
            descriptor = int(files.descriptors[file]) if files.few else None
            if descriptor is None:
                yield number, submitted, nbytes, self._move_alone, (file, kind == WRITE, first, nbytes, at)
            elif first is None:
                yield number, submitted, nbytes, self._move_anywhere, (descriptor, kind == WRITE, nbytes, at)
            elif kind == READ:
                yield number, submitted, nbytes, os.preadv, (descriptor, self._part(first, nbytes), at)
            else:
                yield number, submitted, nbytes, os.pwritev, (descriptor, self._part(first, nbytes), at, flags)

    def _part(self, first: int, nbytes: int) -> list[memoryview]:
        part = self._parts.get((first, nbytes))
        if part is None:
            part = self._parts[first, nbytes] = [self._view[first : first + nbytes].data]
        return part

    def _move(self, descriptor: int, write: bool, first: int, nbytes: int, at: int) -> int:
        if write:
            return os.pwritev(descriptor, self._part(first, nbytes), at, self._files.write_flags)
        return os.preadv(descriptor, self._part(first, nbytes), at)

    def _move_anywhere(self, descriptor: int, write: bool, nbytes: int, at: int) -> int:
        first = self._pool.pop()
        try:
            return self._move(descriptor, write, first, nbytes, at)
        finally:
            self._pool.append(first)

    def _move_alone(self, file: int, write: bool, first: int | None, nbytes: int, at: int) -> int:
        """A block in a file of its own, which may have to be opened: that belongs to its operation."""
        descriptor = self._files.acquire(file)
        try:
            if first is None:
                return self._move_anywhere(descriptor, write, nbytes, at)
            return self._move(descriptor, write, first, nbytes, at)
        finally:
            self._files.release(file, wrote=write)

    def close(self) -> None:
        super().close()
        self._parts.clear()


def _refuse() -> int:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
