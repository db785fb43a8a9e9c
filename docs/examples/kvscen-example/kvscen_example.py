"""A driver for kvscen: each block in a file of its own, as many KV-cache stores keep them on a disk."""

import errno
import os
import shutil
from pathlib import Path

import attrs

from kvscen.plugin import (
    READ,
    WRITE,
    Driver,
    DriverError,
    Finding,
    Flag,
    Footprint,
    Limits,
    PathReport,
    PathText,
    RuleText,
    Severity,
    Store,
    ThreadLane,
    buffers_for,
    host_arena,
    setting,
)

MARKER = ".kvscen-files"
IN_FLIGHT = 32


@attrs.frozen
class FilesSettings:
    path: str = setting(PathText(), help="folder with a file for each block; it is created, its parent is not")
    sync: bool = setting(Flag(), default=False, help="fsync every block before its write counts as done")


class FilesStore(Store):
    limits = Limits(alignment_bytes=1, max_in_flight=IN_FLIGHT)

    def __init__(self, tier):
        self.folder, self.sync, self.layout = Path(tier.settings.path), tier.settings.sync, None
        try:
            self.folder.mkdir(exist_ok=True)
            if any(self.folder.iterdir()) and not (self.folder / MARKER).exists():
                raise DriverError(f"the folder {self.folder} holds files that are not ours", "name another folder")
            (self.folder / MARKER).touch()
        except OSError as error:
            raise DriverError(f"the folder {self.folder} cannot be used: {error.strerror}", "set `path`") from error

    def allocate(self, nbytes, memory):
        return host_arena(nbytes)

    def prepare(self, layout):
        disk = shutil.disk_usage(self.folder)
        self.layout, needed = layout, layout.keys * layout.stride_bytes
        if needed <= disk.total:
            keys = range(layout.first_key, layout.first_key + layout.keys)
            missing = [key for key in keys if self._size(key) != layout.stride_bytes]
            needed = len(missing) * layout.stride_bytes
        if needed > disk.free:
            raise DriverError(f"{needed} bytes do not fit in {self.folder}", "use a smaller `working_set`")
        return missing

    def lane(self, index, arena):
        return ThreadLane(self, arena, IN_FLIGHT, self.clock)

    def transfer(self, op, view):
        """Move one block between its file and `view`; called from the lane's threads."""
        key, offset, nbytes = int(op["key"]), int(op["offset"]), int(op["bytes"])
        slot = key - self.layout.first_key
        if not 0 <= slot < self.layout.keys or offset + nbytes > self.layout.stride_bytes:
            raise OSError(errno.EINVAL, "outside the layout")
        if op["kind"] == READ:
            with self._file(key).open("rb", buffering=0) as file:
                return os.preadv(file.fileno(), [view], offset)
        if op["kind"] == WRITE and offset == 0:
            with self._file(key).open("wb", buffering=0) as file:
                moved = file.write(view)
                if self.sync:
                    os.fsync(file.fileno())
                return moved
        raise OSError(errno.EOPNOTSUPP, "only reads, and writes of whole blocks")

    def path(self):
        return PathReport("page cache", "files are read and written without O_DIRECT")

    def _file(self, key):
        return self.folder / f"{key:016x}"

    def _size(self, key):
        try:
            return self._file(key).stat().st_size
        except FileNotFoundError:
            return None


RULES = (
    RuleText(
        "FILES001",
        "A block of less than 4 KiB.",
        "Each file takes whole blocks of the file system: most of what is stored and moved is padding.",
        "Use a larger page or more layers in a block.",
        title="Files smaller than a block of the file system",
        severity=Severity.WARNING,
    ),
    RuleText(
        "FILES002",
        "With `--here`: more blocks than the file system has inodes free.",
        "Laying them out would end with `No space left on device`, however many bytes are free.",
        "Use larger blocks or a smaller `working_set`, or make the file system with more inodes.",
        title="More files than the file system has room for",
        severity=Severity.WARNING,
    ),
)


class FilesDriver(Driver):
    name = "files"
    summary = "Each block in a file of its own, through the page cache."
    settings = FilesSettings
    max_processes = 1
    rules = RULES

    def lint(self, tier, work):
        if work.block_bytes < 4096:
            message = f"a file of {work.block_bytes} bytes takes 4 KiB on the disk"
            yield Finding("FILES001", message, help="use larger blocks", severity=Severity.WARNING)

    def lint_here(self, tier, work):
        parent = Path(tier.settings.path).absolute().parent
        free = os.statvfs(parent).f_favail if parent.exists() else 0
        if 0 < free < work.keys:
            message = f"{work.keys:,} files are more than the {free:,} that the file system has room for"
            yield Finding("FILES002", message, "path", "use larger blocks", Severity.WARNING)

    def footprint(self, tier, work):
        buffers = work.threads * buffers_for(work, IN_FLIGHT)
        return Footprint(buffers * work.block_bytes, work.keys * work.block_bytes)

    def open(self, tier, work, levels):
        return FilesStore(tier)
