"""One tier of the driver `gpu` in one worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    Work,
    show_bytes,
)
from kvscen_drivers.gpu.arenas import make_arena
from kvscen_drivers.gpu.blocks import Blocks
from kvscen_drivers.gpu.cuda import open_gpu
from kvscen_drivers.gpu.lane import GpuLane
from kvscen_drivers.gpu.settings import GpuSettings


class GpuStore(Store):
    """Blocks in the GPU's memory. A write copies from a buffer to a block, a read back."""

    def __init__(self, tier: Tier, work: Work) -> None:
        """Raises Unavailable, DriverError."""
        self._tier, self._work = tier, work
        self._settings: GpuSettings = tier.settings
        self._gpu = open_gpu(self._settings.device)
        self._card = str(self._gpu.card(self._gpu.ordinal))
        self._blocks = Blocks(self._gpu, tier)
        self._lanes: list[GpuLane] = []
        self._open = True
        # Whole batches are the core's: it posts them one by one.
        self.limits = Limits(1, self._settings.max_in_flight, pipelined=work.wait == "operation")

    def allocate(self, nbytes: int, memory: Memory) -> Arena:
        return make_arena(self._gpu, nbytes, memory)

    def prepare(self, layout: Layout) -> Sequence[int]:
        total, capacity = max(layout.keys, layout.total_keys) * layout.stride_bytes, self._settings.capacity_bytes
        if capacity is not None and total > capacity:
            raise DriverError(
                f"tier `{self._tier.name}`: {show_bytes(total)} of blocks do not fit in its capacity of "
                f"{show_bytes(capacity)}",
                "give it a larger `capacity` or touch fewer keys (`working_set`)",
            )
        return self._blocks.prepare(layout)

    def lane(self, index: int, arena: Arena) -> Lane:
        depth, streams = self.limits.max_in_flight, self._settings.streams
        lane = GpuLane(self._gpu, self._blocks, arena, depth, streams, self.clock)
        self._lanes.append(lane)
        return lane

    def reset(self) -> None:
        for lane in self._lanes:
            lane.reset()

    def measures(self) -> Mapping[str, int | float | str | None]:
        copies = Histogram()
        for lane in self._lanes:
            copies.merge(lane.copies)
        return {
            "gpu": self._card,
            "copy_mean_ns": copies.mean,
            "copy_p99_ns": copies.percentile(0.99),
        }

    def path(self) -> PathReport:
        gpu = f"the memory of GPU {self._gpu.ordinal} ({self._gpu.name}, CUDA {self._gpu.cuda})"
        if self._work.memory == "vram":
            return PathReport("memory", f"cuMemcpyAsync within {gpu}")
        return PathReport("memory", f"cuMemcpyAsync between pinned host memory and {gpu}")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._blocks.close()
