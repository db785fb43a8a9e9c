"""One tier of the driver `gds` in one worker: `posix` keeps the files, cuFile moves the blocks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from kvscen.plugin import (
    Arena,
    DriverError,
    Histogram,
    Lane,
    Layout,
    Limits,
    Memory,
    PathReport,
    Store,
    Tier,
    Unavailable,
    Work,
    buffers_for,
)
from kvscen_drivers.gds.clamp import clamp
from kvscen_drivers.gds.cufile import Options, bindings_version, open_cufile
from kvscen_drivers.gds.lanes import BatchLane, Figures, File, SyncLane
from kvscen_drivers.gds.settings import GdsSettings
from kvscen_drivers.gds.stream import StreamLane
from kvscen_drivers.gds.trial import examine
from kvscen_drivers.gds.ways import NVIDIA_FS, Witness
from kvscen_drivers.gpu.arenas import make_arena
from kvscen_drivers.gpu.cuda import open_gpu
from kvscen_drivers.posix import honesty
from kvscen_drivers.posix.folder import DATA, folder_error
from kvscen_drivers.posix.settings import PosixSettings
from kvscen_drivers.posix.store import PosixStore

_PAGE_BYTES = 4096


class GdsStore(Store):
    """Blocks in the file of a `posix` tier of this folder. Buffers are the GPU's memory, or pinned host memory."""

    def __init__(self, tier: Tier, work: Work) -> None:
        """Raises Unavailable, DriverError."""
        self._tier, self._work = tier, work
        settings: GdsSettings = tier.settings
        self._settings = settings
        verdict = examine(settings.device)
        if verdict.reason:
            raise Unavailable(f"tier `{tier.name}`: {verdict.reason}", verdict.remedy)
        self._gpu = open_gpu(settings.device)
        self._cufile = open_cufile(options(settings))
        self._lanes: list[Lane] = []
        # Why buffers are not registered, or "".
        self._unregistered = "" if settings.registered else "not asked for"
        self._descriptor: int | None = None
        self._file: File | None = None
        self._files = PosixStore(attrs.evolve(tier, driver="posix", settings=posix_settings(settings)), work)
        try:
            self._open_file()
        except BaseException:
            self.close()
            raise
        self._clamp = clamp(
            self._cufile.configuration,
            work.block_bytes,
            work.threads,
            mode=settings.mode,
            registered=settings.registered,
            bounced=settings.compat == "allow" and not NVIDIA_FS.exists(),
        )
        most = settings.max_in_flight
        if settings.mode != "sync" and not settings.unclamped:
            most = min(most, self._clamp.limit)
        pipelined = settings.mode == "sync" and work.wait == "operation"
        alignment = self._files.limits.alignment_bytes
        # cuFile's streams are quicker where they know that all is of whole pages. What is so anyway is promised.
        self._page_aligned = -(-work.block_bytes // alignment) * alignment % _PAGE_BYTES == 0
        if settings.mode == "stream" and self._page_aligned:
            alignment = max(alignment, _PAGE_BYTES)
        self.limits = Limits(alignment, most, pipelined)

    def _open_file(self) -> None:
        folder = Path(self._settings.path)
        direct = self._files.path().kind == "direct"
        flags = (os.O_DIRECT if direct else 0) | (os.O_DSYNC if self._work.durability == "each" else 0)
        try:
            self._descriptor = os.open(folder / DATA, os.O_RDWR | os.O_CLOEXEC | flags)
        except OSError as error:
            raise folder_error(error, folder) from error
        where = f"{'O_DIRECT' if direct else 'buffered'}, {honesty.file_system(folder)}"
        try:
            handle = self._cufile.register_file(self._descriptor)
        except Exception as error:  # the bindings have errors of their own
            direct_only = self._settings.compat == "forbid"
            raise Unavailable(
                f"tier `{self._tier.name}`: cuFile does not take the file in {folder} ({where}): {error}",
                "there is no direct way from here to the GPU: set `compat = allow` to measure the way through host "
                "memory, or choose another folder"
                if direct_only
                else "choose another folder",
            ) from error
        self._file = File(handle, Layout(0, 0, 1))
        self._witness = Witness(self._cufile, where)

    def allocate(self, nbytes: int, memory: Memory) -> Arena:
        if not self._settings.registered:
            return make_arena(self._gpu, nbytes, memory)
        arena = make_arena(self._gpu, nbytes, memory, self._deregister)
        self._unregistered = self._cufile.register_buffer(arena.address, arena.nbytes)
        return arena

    def _deregister(self, arena: Arena) -> None:
        with contextlib.suppress(Exception):  # it was refused, or the GPU was lost
            self._gpu.enter()
            self._cufile.api.buf_deregister(arena.address)

    # ---- laying out: the files are those of `posix`

    def prepare(self, layout: Layout) -> Sequence[int]:
        missing = self._files.prepare(layout)
        assert self._file is not None
        self._file.layout = layout
        return missing

    def settle(self) -> None:
        self._files.settle()

    def reset(self) -> None:
        self._files.reset()
        self._witness.reset()
        for lane in self._lanes:
            if isinstance(lane, BatchLane | StreamLane):
                lane.reset()

    def counters(self) -> Mapping[str, int]:
        return self._files.counters()

    def locate(self, key: int) -> str:
        return self._files.locate(key)

    def check(self) -> None:
        self._files.check()
        report = self._witness.report()
        if self._settings.compat == "forbid" and report.kind in ("compat", "mixed"):
            raise DriverError(
                f"tier `{self._tier.name}` forbids compat mode, and blocks went through it: {report.evidence}",
                "set `compat = allow` to measure it as what it is",
            )

    # ---- moving

    def lane(self, index: int, arena: Arena) -> Lane:
        assert self._file is not None
        depth = self.limits.max_in_flight
        self._gpu.enter()
        common = (self._cufile, self._gpu, self._file, arena, depth)
        lane: Lane
        if self._settings.mode == "sync":
            lane = SyncLane(*common, buffers_for(self._work, depth), self.clock)
        elif self._settings.mode == "stream":
            streams = min(self._settings.streams or 1, buffers_for(self._work, depth))
            lane = StreamLane(*common, self.clock, streams=streams, page_aligned=self._page_aligned)
        else:
            try:
                lane = BatchLane(*common, self.clock)
            except Exception as error:
                raise DriverError(
                    f"tier `{self._tier.name}`: cuFile makes no batch of {depth}: {error}",
                    "set a smaller `max_in_flight`, or raise properties.io_batchsize in cufile.json",
                ) from error
        self._lanes.append(lane)
        return lane

    # ---- what is known

    def path(self) -> PathReport:
        return self._witness.report()

    def measures(self) -> Mapping[str, int | float | str | None]:
        figures = [lane.figures for lane in self._lanes if isinstance(lane, BatchLane | StreamLane)]
        times = Histogram()
        for lane in self._lanes:
            if isinstance(lane, StreamLane):
                times.merge(lane.times)
        total = Figures(*(sum(column) for column in zip(*map(attrs.astuple, figures), strict=True)) if figures else ())
        limited = self._settings.mode != "sync"
        return {
            "cufile_version": f"{self._cufile.version}, cuda-bindings {bindings_version()}",
            "gds_mode": self._settings.mode,
            "in_flight_limit": self._clamp.limit if limited else None,
            "in_flight_limit_reason": self._clamp.setting if limited else None,
            "buffers_registered": self._unregistered or "yes",
            "prep_mean_ns": _mean(total.making_ns, total.submissions),
            "post_mean_ns": _mean(total.posting_ns, total.submissions),
            "transfer_mean_ns": _mean(total.moving_ns, total.operations),
            "stream_mean_ns": times.mean,
            "stream_p99_ns": times.percentile(0.99),
        }

    def close(self) -> None:
        """The core has closed its lanes and arenas."""
        if self._file is not None:
            with contextlib.suppress(Exception):
                self._cufile.api.handle_deregister(self._file.handle)
            self._file = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._files.close()


def _mean(time_ns: int, count: int) -> float | None:
    return time_ns / count if count else None


def options(settings: GdsSettings) -> Options:
    """What cuFile is told before it is opened."""
    return Options(settings.compat == "allow")


def posix_settings(settings: GdsSettings) -> PosixSettings:
    """The `posix` tier whose folder this is."""
    return PosixSettings(path=settings.path, allow_buffered=settings.allow_buffered, engine="threads")
