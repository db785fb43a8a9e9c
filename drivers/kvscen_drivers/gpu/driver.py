"""The driver `gpu`: blocks in a GPU's memory, copied from and to pinned host memory, or within the GPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvscen.plugin import Availability, Driver, Finding, Footprint, Store, Tier, Work, buffers_for, show_bytes
from kvscen_drivers.gpu.settings import MEASURES, GpuSettings


class GpuDriver(Driver):
    """Blocks in a GPU's memory."""

    name = "gpu"
    # Whoever runs `make check-gpu` on a machine with a GPU and sees it pass may take the last sentence away.
    summary = (
        "Blocks in a GPU's memory, copied by CUDA from and to pinned host memory, or within the GPU. "
        "Untested: no GPU has run this code yet."
    )
    settings = GpuSettings
    memory = frozenset({"dram", "vram"})
    measures = MEASURES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        capacity = tier.settings.capacity_bytes
        if capacity is not None and work.working_set_bytes > capacity:
            yield Finding(
                "KVS311",
                f"the pattern touches {show_bytes(work.working_set_bytes)}, which do not fit in the tier's "
                f"{show_bytes(capacity)}",
                "capacity",
                help="give the tier a larger `capacity` or the pattern a smaller `working_set`",
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        if work.memory == "vram":
            return Footprint()
        lanes = work.threads * work.processes
        return Footprint(memory_bytes=lanes * buffers_for(work, tier.settings.max_in_flight) * work.block_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        from kvscen_drivers.gpu.trial import examine

        verdict = examine(0 if tier is None else tier.settings.device)
        if verdict.reason:
            return Availability(False, verdict.reason, verdict.remedy)
        facts = {f"GPU {number}": gpu for number, gpu in enumerate(verdict.gpus)}
        return Availability(True, facts=facts | {"CUDA": verdict.cuda})

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.gpu.store import GpuStore

        return GpuStore(tier, work)
