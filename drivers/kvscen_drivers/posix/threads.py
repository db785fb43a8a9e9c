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
from collections.abc import Iterable, Sequence

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
        files, find, flags, parts = self._files, self._area.find, self._files.write_flags, self._parts
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            spot = find(key, offset, nbytes)
            if spot is None or buffer + nbytes > len(self._view) or kind not in (READ, WRITE):
                yield number, submitted, nbytes, _refuse, ()
                continue
            part = parts.get((buffer, nbytes))
            if part is None:
                part = parts[buffer, nbytes] = [self._view[buffer : buffer + nbytes].data]
            file, at = spot
            if not files.few:
                yield number, submitted, nbytes, self._transfer_alone, (file, kind == WRITE, part, at)
            elif kind == READ:
                yield number, submitted, nbytes, os.preadv, (int(files.descriptors[file]), part, at)
            else:
                yield number, submitted, nbytes, os.pwritev, (int(files.descriptors[file]), part, at, flags)

    def _transfer_alone(self, file: int, write: bool, part: Sequence[memoryview], at: int) -> int:
        """A block in a file of its own, which may have to be opened: that belongs to its operation."""
        descriptor = self._files.acquire(file)
        try:
            if write:
                return os.pwritev(descriptor, part, at, self._files.write_flags)
            return os.preadv(descriptor, part, at)
        finally:
            self._files.release(file, wrote=write)

    def close(self) -> None:
        super().close()
        self._parts.clear()


def _refuse() -> int:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
