"""The driver `posix`: blocks in files of a folder, read and written with direct or buffered I/O."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from kvscen.plugin import (
    Availability,
    Driver,
    DriverError,
    Finding,
    Footprint,
    Severity,
    Store,
    Tier,
    Work,
)
from kvscen_drivers.gpu.bounce import lane_buffers, through_host, vram_fact
from kvscen_drivers.posix import aio, fio, here, honesty, uring
from kvscen_drivers.posix.folder import examine, folder_error
from kvscen_drivers.posix.settings import MEASURES, PosixSettings
from kvscen_drivers.posix.store import MAX_BLOCK_BYTES, PosixStore, too_large

#: The page of the page cache, and the block of most file systems: what a block takes on the disk is rounded up to this.
_DISK_GRAIN = 4096


class PosixDriver(Driver):
    """Blocks in files."""

    name = "posix"
    summary = "Blocks in files on a local or mounted file system, by io_uring, libaio or threads, direct or buffered."
    settings = PosixSettings
    memory = frozenset({"dram", "vram"})
    measures = MEASURES
    ceilings = frozenset({"fio"})

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        if work.block_bytes > MAX_BLOCK_BYTES:
            yield Finding(
                "KVS312",
                too_large(work.block_bytes),
                help="use smaller blocks",
            )
        if tier.settings.registered and tier.settings.engine in ("libaio", "threads"):
            yield Finding(
                "KVS313",
                f"the engine {tier.settings.engine} has no registered buffers: `registered` is of io_uring",
                "registered",
                help="leave `registered` out, or use `engine = io_uring`",
            )
        if tier.settings.direct and work.block_bytes % 512:
            yield Finding(
                "KVS310",
                f"a block of {work.block_bytes} bytes is not a multiple of 512: direct I/O moves it padded",
                "direct",
                help="the padding is moved but not counted: throughput is of the block alone",
                severity=Severity.INFO,
            )

        settings: PosixSettings = tier.settings
        reason = fio.why_not(work, settings.layout, settings.engine)
        if work.ceiling == "fio" and reason is not None:
            yield Finding(
                "KVS305",
                f"no ceiling for these points: {reason}",
                help="they run without one; leave `ceiling` out for them",
                severity=Severity.WARNING,
            )

    def lint_here(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: PosixSettings = tier.settings
        return here.alignment(settings, work) if settings.direct else ()

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        slot = -(-work.block_bytes // _DISK_GRAIN) * _DISK_GRAIN
        buffers = work.threads * work.processes * lane_buffers(work, slot, tier.settings.max_in_flight)
        return Footprint(memory_bytes=buffers * slot, disk_bytes=work.keys * slot)

    def probe(self, tier: Tier | None) -> Availability:
        reason = uring.why_not()
        facts = {"kernel": platform.release(), "io_uring": reason or "works", "libaio": aio.why_not() or "works"}
        facts |= vram_fact()
        if tier is None:
            return Availability(True, facts=facts)
        settings: PosixSettings = tier.settings
        if settings.engine in ("io_uring", "libaio") and facts[settings.engine] != "works":
            reason = facts[settings.engine]
            return Availability(False, reason, f"use `engine = threads`, or permit {settings.engine}", facts)
        try:
            facts |= _look(Path(settings.path), settings)
        except DriverError as error:
            return Availability(False, str(error), error.remedy, facts)
        except OSError as error:
            problem = folder_error(error, Path(settings.path))
            return Availability(False, str(problem), problem.remedy, facts)
        return Availability(True, facts=facts)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        return through_host(tier.settings.gpu, work, lambda own: PosixStore(tier, own))


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
