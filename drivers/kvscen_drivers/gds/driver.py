"""The driver `gds`: blocks in files, moved by cuFile between the file system and a GPU's memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from kvscen.plugin import Availability, Driver, Finding, Footprint, Severity, Store, Tier, Work, buffers_for
from kvscen_drivers.gds.room import too_much, too_much_here
from kvscen_drivers.gds.settings import MEASURES, GdsSettings

#: What a block takes in a file or a buffer is rounded up to this.
_GRAIN = 4096


class GdsDriver(Driver):
    """Blocks that cuFile moves."""

    name = "gds"
    # Whoever runs `make check-gpu` on a machine with a GPU and sees it pass may take the last sentence away.
    summary = (
        "Blocks in files, moved by cuFile (GPUDirect Storage) to and from a GPU's memory, or pinned host memory. "
        "Untested: no GPU has run this code yet."
    )
    settings = GdsSettings
    memory = frozenset({"dram", "vram"})
    measures = MEASURES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: GdsSettings = tier.settings
        if work.block_bytes % 512:
            yield Finding(
                "KVS310",
                f"a block of {work.block_bytes} bytes is not a multiple of 512: direct I/O moves it padded",
                help="the padding is moved but not counted: throughput is of the block alone",
                severity=Severity.INFO,
            )
        yield from too_much(settings, work)

    def lint_here(self, tier: Tier, work: Work) -> Iterable[Finding]:
        return too_much_here(tier.settings, work)

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        slot = -(-work.block_bytes // _GRAIN) * _GRAIN
        buffers = work.threads * work.processes * buffers_for(work, tier.settings.max_in_flight)
        return Footprint(0 if work.memory == "vram" else buffers * slot, work.keys * slot)

    def probe(self, tier: Tier | None) -> Availability:
        from kvscen_drivers.gds.trial import examine

        verdict = examine(0 if tier is None else tier.settings.device)
        if verdict.reason:
            return Availability(False, verdict.reason, verdict.remedy)
        if tier is None:
            return Availability(True, facts=verdict.facts)
        from kvscen_drivers.gds.store import posix_settings
        from kvscen_drivers.posix.driver import PosixDriver

        files = PosixDriver().probe(attrs.evolve(tier, driver="posix", settings=posix_settings(tier.settings)))
        return attrs.evolve(files, facts=verdict.facts | dict(files.facts))

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.gds.store import GdsStore

        return GdsStore(tier, work)
