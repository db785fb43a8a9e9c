"""The folder of a tier: made, marked as ours, and held against other runs.

`.kvscen-data` marks the folder as ours; a folder that holds anything else and no mark is never touched.
`.kvscen-lock` is held shared by every store that is open on the folder, and names the run that they belong to: the
process that started the workers.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path

import attrs

from kvscen.plugin import DriverError

MARKER, LOCK, DATA = ".kvscen-data", ".kvscen-lock", "blocks.data"
FORMAT = 1
_OURS = ".kvscen-"

#: How long another store may take to write down whose the folder is.
_LOCK_S = 2.0


@attrs.frozen
class Claim:
    """A folder that is ours until `release`. `locked` is false where the file system knows no locks."""

    path: Path
    locked: bool
    _descriptor: int

    def release(self) -> None:
        os.close(self._descriptor)


def claim(path: Path) -> Claim:
    """Make the folder if need be, and hold it for this run. Raises DriverError."""
    try:
        if examine(path) != path:
            path.mkdir(exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            return Claim(path, _hold(descriptor, path), descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise folder_error(error, path) from error


def is_marked(path: Path) -> bool:
    """Does this folder carry our mark, in a format that we know? Raises DriverError for a mark that we do not know."""
    try:
        text = (path / MARKER).read_text()
    except FileNotFoundError:
        return False
    try:
        known = json.loads(text)["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise DriverError(
            f"the data in {path} was laid out by another version of kvscen (see {MARKER} there)",
            f"name another folder, or remove this one: rm -r {path}",
        )
    return True


def folder_error(error: OSError, path: Path) -> DriverError:
    """One sentence with the remedy for what the file system said about the folder or its data file."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return DriverError(f"no permission to write in {path}", "choose a folder of your own, or chown this one")
        case errno.EROFS:
            return DriverError(f"{path} is on a read-only file system", "choose another folder, or remount it writable")
        case errno.ENOSPC:
            return DriverError(f"the file system of {path} is full", "free some space, or choose another folder")
        case errno.EDQUOT:
            return DriverError(f"the disk quota for {path} is used up", "free some space, or choose another folder")
        case errno.EFBIG:
            return DriverError(
                f"the file system of {path} takes no file of this size (or `ulimit -f` forbids it)",
                "touch fewer keys (`working_set`), raise the limit, or choose another file system",
            )
        case errno.ENOTDIR:
            return DriverError(
                f"{path} cannot be a folder: it, or a part of the path, is a file", "choose another path"
            )
        case errno.ENOENT:
            return DriverError(f"{path} cannot be made here", "choose another path")
        case errno.ENAMETOOLONG | errno.ELOOP:
            return DriverError(f"{path} is not a usable path: {error.strerror}", "choose another path")
    return DriverError(
        f"{path} cannot be used: {error.strerror}", "choose another folder, and look at the kernel's log"
    )


def examine(path: Path) -> Path:
    """The folder itself, or its parent where it is yet to be made. Changes nothing.

    Raises DriverError for a folder that we would not use, OSError.
    """
    if not path.exists():
        parent = path.absolute().parent
        if parent.is_dir():
            return parent
        if parent.exists():
            raise DriverError(f"{path} cannot be made: {parent} is not a folder", "choose another path")
        raise DriverError(
            f"{path} cannot be made: the folder {parent} does not exist",
            f"make it (mkdir -p {parent}), or mount the disk that should be there",
        )
    if not path.is_dir():
        raise DriverError(f"{path} is a file, not a folder", "choose another path, or remove the file")
    # Everything is read at once: another worker of this run makes the mark before the data.
    names = [entry.name for entry in path.iterdir()]
    if is_marked(path) and MARKER in names:
        return path
    foreign = sorted(name for name in names if not name.startswith(_OURS))
    if foreign:
        raise DriverError(
            f"the folder {path} holds something that kvscen did not put there ({foreign[0]}"
            f"{' and more' if len(foreign) > 1 else ''}); it is left alone",
            "name a folder that is empty or does not exist yet",
        )
    return path


def _mark(path: Path) -> None:
    if not is_marked(path):
        fresh = path / f"{_OURS}mark-{os.getpid()}"
        fresh.write_text(json.dumps({"format": FORMAT, "what": "blocks laid out by kvscen; safe to remove"}) + "\n")
        fresh.replace(path / MARKER)


def _hold(descriptor: int, path: Path) -> bool:
    """Take the shared lock, as the first of this run or beside its other stores. False where there are no locks."""
    run = _run()
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            alone = _try(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            _mark(path)
            return False
        if alone:
            # Nobody is in: write down whose the folder is now.
            _mark(path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(run).encode(), 0)
        # Going from exclusive to shared lets go for a moment, in which another run may come first: so look again.
        if _try(descriptor, fcntl.LOCK_SH):
            holder = _read(descriptor)
            if holder == run:
                return True
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            if holder is not None or time.monotonic() > deadline:
                pid = f" (process {holder['pid']})" if holder else ""
                raise DriverError(
                    f"the folder {path} is in use by another run of kvscen{pid}",
                    "wait for it to end, or name another folder: two runs on one disk would measure each other",
                )
        if time.monotonic() > deadline:
            raise DriverError(
                f"the folder {path} is locked by another program", "find it with: fuser -v " + str(path / LOCK)
            )
        time.sleep(0.005)


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> dict[str, object] | None:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return None
    return holder if isinstance(holder, dict) and "pid" in holder else None


def _run() -> dict[str, object]:
    """Who this run is: the process that started this worker, by number, start time and boot of the machine."""
    parent = os.getppid()
    try:
        # Field 22 of /proc/PID/stat; the second field, the name, may hold spaces and parentheses.
        started = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        started = 0  # the parent is in another PID namespace
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": parent, "started": started, "boot": boot}
