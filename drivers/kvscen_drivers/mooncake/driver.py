"""The driver `mooncake`: blocks in a store of Mooncake's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvscen.plugin import Availability, Driver, Finding, Footprint, Store, Tier, Work, buffers_for, show_bytes
from kvscen_drivers.mooncake.settings import MEASURES, MooncakeSettings


class MooncakeDriver(Driver):
    """Blocks in the memory of a store's nodes."""

    name = "mooncake"
    summary = "Blocks in a Mooncake store, moved by its transfer engine from and into registered buffers."
    settings = MooncakeSettings
    measures = MEASURES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: MooncakeSettings = tier.settings
        if settings.master is None and work.processes > 1:
            yield Finding(
                "KVS302",
                f"a private store belongs to one worker, and there are {work.processes} processes",
                help="start a cluster and name its `master`, or use `threads`",
            )
        if settings.capacity_bytes is not None and work.working_set_bytes > settings.capacity_bytes:
            yield Finding(
                "KVS311",
                f"the pattern touches {show_bytes(work.working_set_bytes)}, which do not fit in the tier's "
                f"{show_bytes(settings.capacity_bytes)}",
                "capacity",
                help="give the tier a larger `capacity` or the pattern a smaller `working_set`",
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        settings: MooncakeSettings = tier.settings
        buffers = work.threads * work.processes * buffers_for(work, settings.max_in_flight)
        kept = work.keys if settings.master is None else 0
        return Footprint(memory_bytes=(buffers + kept) * work.block_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        from kvscen_drivers.mooncake import cluster, wheel

        reason, remedy = wheel.why_not()
        if reason:
            return Availability(False, reason, remedy)
        facts = {"Mooncake": wheel.version()}
        master = None if tier is None else tier.settings.master
        if master is not None:
            problem = cluster.reach(master)
            if problem:
                return Availability(False, f"the master at {master} cannot be reached: {problem}", "start it", facts)
        return Availability(True, facts=facts)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.mooncake.store import MooncakeStore

        return MooncakeStore(tier, work)
