"""One tier of the driver `posix` in one worker: its folder, its files, its lanes."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from kvscen.plugin import (
    Arena,
    DriverError,
    Lane,
    Layout,
    Limits,
    Load,
    PathReport,
    Peer,
    Store,
    Tier,
    Work,
    buffers_for,
    host_arena,
    show_bytes,
)
from kvscen_drivers.posix import aio, fio, honesty, layout, uring
from kvscen_drivers.posix.files import Files
from kvscen_drivers.posix.folder import MARKER, Claim, claim, folder_error
from kvscen_drivers.posix.lane import Queue, QueueLane
from kvscen_drivers.posix.places import Area, Piece
from kvscen_drivers.posix.settings import PosixSettings
from kvscen_drivers.posix.threads import FileLane

#: The largest transfer of one system call on Linux (MAX_RW_COUNT).
MAX_BLOCK_BYTES = 0x7FFFF000


@attrs.frozen
class Engine:
    """What keeps operations in flight, and why `auto` took none better."""

    name: str
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.name}, as {self.reason}" if self.reason else self.name


class PosixStore(Store):
    """The data files of one folder. The same files serve every point, of any stride."""

    def __init__(self, tier: Tier, work: Work) -> None:
        self._tier, self._work = tier, work
        self._settings: PosixSettings = tier.settings
        self._folder = Path(self._settings.path)
        self._area = Area(self._settings.layout, work.processes, work.threads)
        self._unrecorded: dict[str, layout.Ranges] = {}
        self._cached_before: int | None = None
        self._refuse_engine()
        self._claim: Claim | None = claim(self._folder)
        self._files: Files | None = None
        self._gate: int | None = None
        try:
            self._open_files()
        except OSError as error:
            self.close()
            raise folder_error(error, self._folder) from error
        except BaseException:
            self.close()
            raise

    # ---- opening

    def _refuse_engine(self) -> None:
        """Before anything is made: raise DriverError where the engine that is asked for does not work here."""
        wanted = self._settings.engine
        reason = {"io_uring": uring.why_not, "libaio": aio.why_not}.get(wanted, lambda: None)()
        if reason is not None:
            raise DriverError(
                f"tier `{self._tier.name}` asks for {wanted}: {reason}", f"use `engine = threads`, or permit {wanted}"
            )

    def _choose_engine(self, direct: bool) -> Engine:
        wanted = self._settings.engine
        if wanted != "auto":
            return Engine(wanted)
        reason = uring.why_not()
        if reason is None:
            return Engine("io_uring")
        if not direct:
            return Engine("threads", f"{reason}, and libaio waits for buffered I/O")
        refused = aio.why_not()
        return Engine("libaio", reason) if refused is None else Engine("threads", f"{reason}; {refused}")

    def _open_files(self) -> None:
        self._gate = os.open(self._folder / MARKER, os.O_RDWR | os.O_CLOEXEC)
        scratch = honesty.scratch(self._folder, ".kvscen-scratch")
        assert scratch is not None
        try:
            alignment = honesty.direct_alignment(scratch) if self._settings.direct else None
            self._method = layout.method_for(scratch)
            if self._work.durability == "each":
                self._try_durable(scratch)
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
        self._direct = alignment is not None
        self._engine = self._choose_engine(self._direct)
        self._files = Files(self._folder, self._area, os.O_DIRECT if alignment else 0, self._settings.open_files)
        self.limits = Limits(
            alignment.bytes if alignment else 1,
            self._settings.max_in_flight,
            # Opening a block's own file belongs to its operation, and would be done ahead of it. A lane holds back
            # single operations.
            pipelined=self._work.wait == "operation" and (self._engine.name == "threads" or self._files.few),
        )
        facts = [f"O_DIRECT, {alignment}" if alignment else how, where]
        if self._work.durability == "each":
            facts.append("each write durable (RWF_DSYNC)")
        if self._registers:
            facts.append("registered buffers" + (" and files" if self._files.few else ""))
        facts.append(str(self._engine))
        if self._claim is not None and not self._claim.locked:
            facts.append("not locked against other runs, as the file system has no locks")
        self._path = PathReport("direct" if alignment else "page cache", ", ".join(facts))

    def _try_durable(self, scratch: int) -> None:
        try:
            os.pwritev(scratch, [b"durable?"], 0, os.RWF_DSYNC)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            raise DriverError(
                f"tier `{self._tier.name}`: the file system at {self._folder} cannot make a single write durable "
                f"(RWF_DSYNC: {error.strerror})",
                "use `durability = end`, or choose another folder",
            ) from error

    @property
    def _registers(self) -> bool:
        return self._settings.registered and self._engine.name == "io_uring"

    @property
    def _open(self) -> Files:
        assert self._files is not None, "the store is closed"
        return self._files

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes, huge=self._settings.buffers == "huge")

    # ---- laying out

    def prepare(self, wanted: Layout) -> Sequence[int]:
        if wanted.stride_bytes % self.limits.alignment_bytes:
            raise DriverError(
                f"tier `{self._tier.name}`: a stride of {wanted.stride_bytes} bytes is no multiple of its alignment, "
                f"{self.limits.alignment_bytes} bytes"
            )
        if wanted.stride_bytes > MAX_BLOCK_BYTES:
            raise DriverError(
                f"tier `{self._tier.name}`: {too_large(wanted.block_bytes)}",
                "use smaller blocks",
            )
        found = os.statvfs(self._folder)
        if wanted.keys * wanted.stride_bytes > found.f_blocks * found.f_frsize:
            self._check_space(wanted.keys * wanted.stride_bytes)  # before millions of files are looked for
        self._area.place(wanted)
        assert self._gate is not None
        try:
            with layout.alone(self._gate):
                missing = self._make_room(wanted)
        except OSError as error:
            raise folder_error(error, self._folder) from error
        # Laying out is made durable by `settle`, all at once.
        self._open.write_flags = 0 if len(missing) else self._durable_flags
        return missing

    def _make_room(self, wanted: Layout) -> Sequence[int]:
        files, record = self._open, layout.read_record(self._folder) if self._method == "record" else {}
        missing: list[Sequence[int]] = []
        growing: list[Piece] = []
        needed = 0
        for piece in self._pieces():
            files.create(piece.number)
            holding = self._holding(piece, record)
            lacking = layout.uncovered(piece.first, piece.end, holding.allocated)
            gaps = layout.keys_missing(piece, wanted, holding.written)
            if lacking or len(gaps):
                needed += lacking
                growing.append(piece)
                missing.append(gaps)
        self._check_space(needed)
        self._unrecorded = {}
        for piece in growing:
            with files.using(piece.number) as descriptor:
                layout.grow(descriptor, piece.first, piece.end, reserve=self._method == "extents")
            if self._method == "record":
                self._unrecorded.setdefault(self._area.name(piece.number), []).append((piece.first, piece.end))
        return layout.joined(missing)

    def _holding(self, piece: Piece, record: Mapping[str, layout.Ranges]) -> layout.Holding:
        if self._method == "record":
            ranges = record.get(self._area.name(piece.number), [])
            return layout.Holding(ranges, ranges)
        with self._open.using(piece.number) as descriptor:
            if self._method == "extents":
                return layout.holding_by_extents(descriptor, piece.first, piece.end)
            return layout.holding_by_seek(descriptor, piece.first, piece.end)

    def _pieces(self) -> Iterator[Piece]:
        """Where this worker's keys lie."""
        placed = self._area.layout
        return self._area.pieces(placed.first_key, placed.keys)

    def _check_space(self, needed: int) -> None:
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        if needed > free:
            raise DriverError(
                f"tier `{self._tier.name}` needs {show_bytes(needed)} in {self._folder}, where {show_bytes(free)} are "
                f"free: {show_bytes(needed - free)} are missing",
                "free some space, choose another folder, or touch fewer keys (`working_set`)",
            )

    def settle(self) -> None:
        try:
            self._open.sync()
            if self._unrecorded:
                assert self._gate is not None
                with layout.alone(self._gate):
                    layout.add_to_record(self._folder, self._unrecorded)
                self._unrecorded = {}
        except OSError as error:
            raise folder_error(error, self._folder) from error
        self._open.write_flags = self._durable_flags

    @property
    def _durable_flags(self) -> int:
        return os.RWF_DSYNC if self._work.durability == "each" else 0

    # ---- moving

    def lane(self, index: int, arena: Arena) -> Lane:
        depth, clock = self.limits.max_in_flight, time.perf_counter_ns  # what `self.clock` asks, without a call
        if self._engine.name == "threads":
            threads = buffers_for(self._work, depth)
            # Pinning the pages of a buffer is work for a CPU, and much where they are small.
            together = self._direct and self._settings.buffers == "huge"
            cpus = _one_cpu(index) if together else frozenset[int]()
            return FileLane(self._open, self._area, arena, depth, clock, threads, cpus)
        module = uring if self._engine.name == "io_uring" else aio
        try:
            queue = self._queue(arena, depth)
            return QueueLane(queue, self._open, self._area, arena, depth, clock, device=self._direct)
        except OSError as error:
            raise DriverError(
                f"tier `{self._tier.name}`, lane {index}: {module.explain(error)}",
                "use `engine = threads`, fewer `threads`, or a smaller `max_in_flight`",
            ) from error

    def _queue(self, arena: Arena, depth: int) -> Queue:
        if self._engine.name == "libaio":
            return aio.Context(depth)
        ring = uring.Ring(depth)
        if self._registers:
            grain = self.limits.alignment_bytes
            try:
                ring.register_buffers(arena.address, arena.nbytes, -(-self._work.block_bytes // grain) * grain)
                if self._open.few:
                    ring.register_files(self._open.descriptors)
            except OSError as error:
                ring.close()
                raise DriverError(
                    f"tier `{self._tier.name}`: io_uring does not register {show_bytes(arena.nbytes)} of buffers: "
                    f"{error.strerror}",
                    "raise the limit of locked memory (`ulimit -l`), use fewer buffers (`depth`), "
                    "or `registered = false`",
                ) from error
        return ring

    # ---- what is known

    def locate(self, key: int) -> str:
        number, at = self._area.spot(key)
        return f"{self._open.path(number)} at {at}"

    def check(self) -> None:
        self._open.check(self._pieces())

    def reset(self) -> None:
        self.check()
        try:
            if self._settings.cache == "drop":
                self._open.drop_cache(self._data_set())
            self._cached_before = self._cached_bytes()
        except OSError as error:
            raise folder_error(error, self._folder) from error

    def measures(self) -> Mapping[str, int | float | str | None]:
        return {
            "engine": self._engine.name,
            "engine_reason": self._engine.reason,
            "page_cache_before_bytes": self._cached_before,
            "page_cache_after_bytes": self._cached_bytes(),
        }

    def _data_set(self) -> Iterator[Piece]:
        """Where the keys of all workers lie."""
        placed = self._area.layout
        return self._area.pieces(0, max(placed.total_keys, placed.first_key + placed.keys))

    def _cached_bytes(self) -> int | None:
        """What is in the page cache of the data of all workers; None for direct I/O, or where nobody says."""
        if self._direct:
            return None
        total = 0
        for piece in self._data_set():
            with self._open.using(piece.number) as descriptor:
                cached = honesty.cached_bytes(descriptor, piece.first, piece.end)
            if cached is None:
                return None
            total += cached
        return total

    def counters(self) -> Mapping[str, int]:
        return honesty.device_bytes(self._folder)

    def path(self) -> PathReport:
        return self._path

    def ceiling(self, load: Load) -> Peer:
        reason = fio.why_not(load.work, self._settings.layout, self._engine.name)
        if reason is not None:
            raise DriverError(f"no ceiling: {reason}")
        extents = []
        for first_key, keys in load.lanes:
            # The keys of a lane lie in one file, one after the other, in both layouts that fio can repeat.
            [piece] = self._area.pieces(first_key, keys)
            extents.append(fio.Extent(self._open.path(piece.number), piece.first, piece.end - piece.first))
        cold = self._settings.cache == "drop"
        return fio.peer(load, extents, self._engine.name, direct=self._direct, registered=self._registers, cold=cold)

    def close(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None


def _one_cpu(lane: int) -> frozenset[int]:
    """One of the CPUs that are allowed: another one for each lane and for each worker, as far as there are."""
    allowed = sorted(os.sched_getaffinity(0))
    return frozenset({allowed[(lane + os.getpid()) % len(allowed)]})


def too_large(block_bytes: int) -> str:
    """Why blocks of this size cannot be moved."""
    return f"a block of {block_bytes} bytes is more than the {MAX_BLOCK_BYTES} that Linux moves in one call"
