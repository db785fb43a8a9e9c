"""The open files of a tier: opened once and kept where they are few, opened on demand where each block has its own.

How many are open is bounded: of the files of single blocks those that were used last stay open. A file in use is never
closed. Whether the files are still those that were laid out is looked at between trials and after each.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kvscen.plugin import DriverError
from kvscen_drivers.posix.places import Area, Piece

#: Files that other parts of a process need: sockets, logs, libraries, rings.
_OTHER_FILES = 64
#: Files that are made durable at the same time: their journal commits are then shared.
_SYNC_THREADS = 16


class Files:
    """The files of `area` in `folder`, by number. Thread-safe.

    `few` says that all of them are open, with their descriptors in `descriptors`. Else `acquire` opens a file if need
    be, and `release` allows to close it again. `write_flags` are those of `pwritev2` for each write.
    """

    def __init__(self, folder: Path, area: Area, flags: int, keep: int) -> None:
        """Opens all files where they are few, keeps at most `keep` open where not. Raises OSError, DriverError."""
        self.folder = folder
        self.write_flags = 0
        self._area = area
        self._flags = os.O_RDWR | os.O_CLOEXEC | flags
        self._keep = keep
        self._lock = threading.Lock()
        # number: [descriptor, users]; the one that was used last at the end.
        self._open: OrderedDict[int, list[int]] = OrderedDict()
        self._identities: dict[int, tuple[int, int]] = {}
        self._dirty: set[int] = set()
        self._folders: set[Path] = set()
        count = area.kept_open
        self.few = count is not None
        self.descriptors: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        allowed = allow_open_files((count or keep) + _OTHER_FILES)
        if count is None:
            self._keep = max(1, min(keep, allowed - _OTHER_FILES))
            return
        if count + _OTHER_FILES > allowed:
            raise DriverError(
                f"{count} files, one for each lane, are more than the {allowed} that a process may have open",
                "raise the limit (`ulimit -n`), or use fewer `threads` and `processes`",
            )
        try:
            descriptors = []
            for number in range(count):
                self.create(number)
                descriptors.append(os.open(self.path(number), self._flags))
                self._open[number] = [descriptors[-1], 1]
            self.descriptors = np.array(descriptors, np.int32)
        except BaseException:
            self.close()
            raise

    def path(self, number: int) -> Path:
        return self.folder / self._area.name(number)

    def create(self, number: int) -> None:
        """Make the file if it does not exist yet, and note which one it is. Raises OSError."""
        if number in self._identities:
            return
        path = self.path(number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            found = path.stat()
            self._identities[number] = found.st_dev, found.st_ino
            return
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._folders |= {path.parent, path.parent.parent}
        self._folders.add(path.parent)
        found = os.fstat(descriptor)
        os.close(descriptor)
        self._identities[number] = found.st_dev, found.st_ino
        self._dirty.add(number)

    # ---- use

    def acquire(self, number: int) -> int:
        """A descriptor that stays open until `release`. Raises OSError."""
        if self.few:
            return int(self.descriptors[number])
        with self._lock:
            entry = self._open.get(number)
            if entry is not None:
                entry[1] += 1
                self._open.move_to_end(number)
                return entry[0]
        descriptor = os.open(self.path(number), self._flags)  # not under the lock: on a network this takes long
        with self._lock:
            entry = self._open.get(number)
            if entry is None:
                entry = self._open[number] = [descriptor, 0]
            else:  # another thread was quicker
                os.close(descriptor)
            entry[1] += 1
            self._trim()
            return entry[0]

    def release(self, number: int, wrote: bool = False) -> None:
        """The other half of `acquire`. `wrote` has the next `sync` make the file durable."""
        if self.few:
            return
        with self._lock:
            if wrote:
                self._dirty.add(number)
            self._open[number][1] -= 1
            self._trim()

    @contextmanager
    def using(self, number: int) -> Iterator[int]:
        """A descriptor for as long as the context lasts. Raises OSError."""
        descriptor = self.acquire(number)
        try:
            yield descriptor
        finally:
            self.release(number)

    def _trim(self) -> None:
        """Close those that were used longest ago and are not in use. Call it with the lock."""
        while len(self._open) > self._keep:
            idle = next((number for number, (_, users) in self._open.items() if not users), None)
            if idle is None:
                return
            os.close(self._open.pop(idle)[0])

    # ---- between trials

    def sync(self) -> None:
        """Make every file that may have been written durable, and the names of new ones. Raises OSError."""
        numbers = sorted(self._open if self.few else self._dirty)

        def make_durable(number: int) -> None:
            with self.using(number) as descriptor:
                os.fdatasync(descriptor)

        _for_all(make_durable, numbers)
        for folder in sorted(self._folders):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._dirty.clear()
        self._folders.clear()

    def drop_cache(self, pieces: Iterable[Piece]) -> None:
        """Write the pieces back and drop them from the page cache. Raises OSError."""
        for piece in pieces:
            with self.using(piece.number) as descriptor:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, piece.first, piece.end - piece.first, os.POSIX_FADV_DONTNEED)

    def check(self, pieces: Iterable[Piece]) -> None:
        """Are these the files that were laid out, and do they reach as far? Raises DriverError."""
        for piece in pieces:
            path, known = self.path(piece.number), self._identities.get(piece.number)
            try:
                found = path.stat()
            except OSError as error:
                raise DriverError(
                    f"{path} is gone while the run goes on: {error.strerror}",
                    "keep other programs out of the folder, and run again",
                ) from error
            if known is not None and (found.st_dev, found.st_ino) != known:
                raise DriverError(
                    f"{path} was replaced by another file while the run goes on (inode {known[1]}, now {found.st_ino})",
                    "keep other programs out of the folder, and run again",
                )
            if found.st_size < piece.end:
                raise DriverError(
                    f"{path} was truncated while the run goes on: it ends at {found.st_size}, "
                    f"its blocks at {piece.end}",
                    "keep other programs out of the folder, and run again",
                )

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1][0])


def _for_all(action: Callable[[int], None], numbers: list[int]) -> None:
    if len(numbers) < _SYNC_THREADS:
        for number in numbers:
            action(number)
        return
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for _ in pool.map(action, numbers):
            pass


def allow_open_files(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted` where that is allowed; returns how many may be open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # not allowed here: the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
