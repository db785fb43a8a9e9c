"""The driver `posix`: blocks in one file of a folder, read and written with direct or buffered I/O."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import (
    READ,
    WRITE,
    Arena,
    Availability,
    Count,
    Driver,
    DriverError,
    Finding,
    Flag,
    Footprint,
    Lane,
    Layout,
    Limits,
    PathReport,
    PathText,
    Severity,
    Store,
    ThreadLane,
    Tier,
    Word,
    Work,
    buffers_for,
    host_arena,
    setting,
    show_bytes,
)
from kvscen_drivers.posix import honesty, layout, uring
from kvscen_drivers.posix.folder import DATA, Claim, claim, examine, folder_error
from kvscen_drivers.posix.lane import UringLane

#: The largest transfer of one system call on Linux (MAX_RW_COUNT).
MAX_BLOCK_BYTES = 0x7FFFF000
#: The page of the page cache, and the block of most file systems: what a block takes on the disk is rounded up to this.
_DISK_GRAIN = 4096


@attrs.frozen
class PosixSettings:
    """Settings of a tier of the driver `posix`."""

    path: str = setting(PathText(), help="folder on the file system under test; made if its parent exists")
    direct: bool = setting(Flag(), default=True, help="bypass the page cache (O_DIRECT)")
    engine: Literal["auto", "io_uring", "threads"] = setting(
        Word("auto", "io_uring", "threads"),
        default="auto",
        help="how operations are kept in flight; auto: io_uring where it works, else a thread for each",
    )
    allow_buffered: bool = setting(
        Flag(), default=False, help="where direct I/O cannot be relied on, use the page cache and say so"
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane, and its buffers"
    )


class PosixStore(Store):
    """The data file of one folder: block `key` lies at key x stride. One file serves every point, of any stride."""

    def __init__(self, tier: Tier, work: Work) -> None:
        self._tier, self._work = tier, work
        self._settings: PosixSettings = tier.settings
        self._folder = Path(self._settings.path)
        self._area = layout.Area()
        self._unrecorded: layout.Ranges = []
        self._engine, self._engine_evidence = self._choose_engine()
        self._claim: Claim | None = claim(self._folder)
        self._files: list[int] = []
        try:
            self._open_files()
        except OSError as error:
            self.close()
            raise folder_error(error, self._folder) from error
        except BaseException:
            self.close()
            raise

    def _choose_engine(self) -> tuple[str, str]:
        wanted = self._settings.engine
        if wanted == "threads":
            return "threads", "threads"
        reason = uring.why_not()
        if reason is None:
            return "io_uring", "io_uring"
        if wanted == "io_uring":
            raise DriverError(
                f"tier `{self._tier.name}` asks for io_uring: {reason}", "use `engine = threads`, or permit io_uring"
            )
        return "threads", f"threads, as {reason}"

    def _open_files(self) -> None:
        data = self._folder / DATA
        self._file = self._open(data, 0)
        scratch = honesty.scratch(self._folder, ".kvscen-scratch")
        assert scratch is not None
        try:
            alignment = honesty.direct_alignment(scratch) if self._settings.direct else None
            self._method = layout.method_for(scratch)
        finally:
            os.close(scratch)
        where = honesty.file_system(self._folder)
        how = "buffered"
        if self._settings.direct and alignment is None:
            if not self._settings.allow_buffered:
                raise DriverError(
                    f"tier `{self._tier.name}` asks for direct I/O, but {where} at {self._folder} serves it from the "
                    "page cache, or does not say that it does not",
                    "choose a folder on a disk; or set `direct = false` to measure the page cache, "
                    "or `allow_buffered = true` to take what there is",
                )
            how = "buffered, for want of reliable direct I/O"
        self._io_file = self._open(data, os.O_DIRECT) if alignment else self._file
        self.limits = Limits(alignment.bytes if alignment else 1, self._settings.max_in_flight)
        facts = [f"O_DIRECT, {alignment}" if alignment else how, where, self._engine_evidence]
        if self._claim is not None and not self._claim.locked:
            facts.append("not locked against other runs, as the file system has no locks")
        self._path = PathReport("direct" if alignment else "page cache", ", ".join(facts))

    def _open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
        self._files.append(descriptor)
        return descriptor

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def prepare(self, wanted: Layout) -> Sequence[int]:
        if wanted.stride_bytes % self.limits.alignment_bytes:
            raise DriverError(
                f"tier `{self._tier.name}`: a stride of {wanted.stride_bytes} bytes is no multiple of its alignment, "
                f"{self.limits.alignment_bytes} bytes"
            )
        if wanted.stride_bytes > MAX_BLOCK_BYTES:
            raise DriverError(
                f"tier `{self._tier.name}`: {_too_large(wanted.block_bytes)}",
                "use smaller blocks",
            )
        first = wanted.first_key * wanted.stride_bytes
        end = first + wanted.keys * wanted.stride_bytes
        try:
            with layout.alone(self._file):
                holding = self._holding(first, end)
                self._check_space(layout.uncovered(first, end, holding.allocated))
                layout.grow(self._file, first, end, reserve=self._method == "extents")
        except OSError as error:
            raise folder_error(error, self._folder) from error
        self._area.place(wanted)
        missing = layout.keys_missing(wanted, holding.written)
        self._unrecorded = [(first, end)] if self._method == "record" and len(missing) else []
        return missing

    def _holding(self, first: int, end: int) -> layout.Holding:
        match self._method:
            case "extents":
                return layout.holding_by_extents(self._file, first, end)
            case "seek":
                return layout.holding_by_seek(self._file, first, end)
        ranges = layout.read_record(self._folder)
        return layout.Holding(ranges, ranges)

    def _check_space(self, needed: int) -> None:
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        if needed > free:
            raise DriverError(
                f"tier `{self._tier.name}` needs {show_bytes(needed)} in {self._folder}, where {show_bytes(free)} are "
                f"free: {show_bytes(needed - free)} are missing",
                "free some space, choose another folder, or touch fewer keys (`working_set`)",
            )

    def lane(self, index: int, arena: Arena) -> Lane:
        depth = self.limits.max_in_flight
        if self._engine == "threads":
            return ThreadLane(self, arena, depth, self.clock, threads=buffers_for(self._work, depth))
        try:
            return UringLane(self._io_file, self._area, arena, depth, self.clock)
        except OSError as error:
            raise DriverError(
                f"tier `{self._tier.name}`, lane {index}: {uring.explain(error)}",
                "use `engine = threads`, fewer `threads`, or a smaller `max_in_flight`",
            ) from error

    def transfer(self, op: np.void, view: npt.NDArray[np.uint8]) -> int:
        """One operation of the engine `threads`."""
        kind, nbytes = op["kind"], int(op["bytes"])
        at = self._area.find(int(op["key"]), int(op["offset"]), nbytes)
        if at is None or len(view) != nbytes or kind not in (READ, WRITE):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        call = os.preadv if kind == READ else os.pwritev
        return call(self._io_file, [view.data], at)

    def settle(self) -> None:
        try:
            os.fdatasync(self._file)
            if self._unrecorded:
                with layout.alone(self._file):
                    layout.add_to_record(self._folder, self._unrecorded)
                self._unrecorded = []
        except OSError as error:
            raise folder_error(error, self._folder) from error

    def counters(self) -> Mapping[str, int]:
        return honesty.device_bytes(self._folder)

    def path(self) -> PathReport:
        return self._path

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())
        if self._claim is not None:
            self._claim.release()
            self._claim = None


def _too_large(block_bytes: int) -> str:
    return f"a block of {block_bytes} bytes is more than the {MAX_BLOCK_BYTES} that Linux moves in one call"


class PosixDriver(Driver):
    """Blocks in a file."""

    name = "posix"
    summary = "Blocks in a file on a local or mounted file system, by io_uring or threads, direct or buffered."
    settings = PosixSettings

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        if work.block_bytes > MAX_BLOCK_BYTES:
            yield Finding(
                "KVS312",
                _too_large(work.block_bytes),
                help="use smaller blocks",
            )
        elif tier.settings.direct and work.block_bytes % 512:
            yield Finding(
                "KVS310",
                f"a block of {work.block_bytes} bytes is not a multiple of 512: direct I/O moves it padded",
                "direct",
                help="the padding is moved but not counted: throughput is of the block alone",
                severity=Severity.INFO,
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        slot = -(-work.block_bytes // _DISK_GRAIN) * _DISK_GRAIN
        buffers = work.threads * work.processes * buffers_for(work, tier.settings.max_in_flight)
        return Footprint(memory_bytes=buffers * slot, disk_bytes=work.keys * slot)

    def probe(self, tier: Tier | None) -> Availability:
        reason = uring.why_not()
        facts = {"kernel": platform.release(), "io_uring": reason or "works"}
        if tier is None:
            return Availability(True, facts=facts)
        settings: PosixSettings = tier.settings
        if settings.engine == "io_uring" and reason:
            return Availability(False, reason, "use `engine = threads`, or permit io_uring", facts)
        try:
            facts |= _look(Path(settings.path), settings)
        except DriverError as error:
            return Availability(False, str(error), error.remedy, facts)
        except OSError as error:
            problem = folder_error(error, Path(settings.path))
            return Availability(False, str(problem), problem.remedy, facts)
        return Availability(True, facts=facts)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        return PosixStore(tier, work)


def _look(path: Path, settings: PosixSettings) -> dict[str, str]:
    """What can be said about a tier's folder without leaving anything there. Raises DriverError, OSError."""
    folder = examine(path)
    facts = {"file system": honesty.file_system(folder)}
    descriptor = honesty.scratch(folder)
    if descriptor is None:
        return facts | {"direct I/O": "known when the tier is opened"}
    try:
        alignment = honesty.direct_alignment(descriptor)
    finally:
        os.close(descriptor)
    facts["direct I/O"] = str(alignment) if alignment else "none that can be relied on"
    if settings.direct and alignment is None and not settings.allow_buffered:
        raise DriverError(
            f"{facts['file system']} has no direct I/O that can be relied on",
            "set `direct = false` or `allow_buffered = true`, or choose another folder",
        )
    return facts
