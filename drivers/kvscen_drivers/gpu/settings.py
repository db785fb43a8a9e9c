"""The settings and the columns of the driver `gpu`."""

from __future__ import annotations

import attrs

from kvscen.plugin import Count, Measure, Size, setting


@attrs.frozen
class GpuSettings:
    """Settings of a tier of the driver `gpu`."""

    device: int = setting(Count(0, 1023), default=0, help="which GPU, as CUDA counts them (CUDA_VISIBLE_DEVICES)")
    capacity_bytes: int | None = setting(
        Size(minimum=1), default=None, help="most bytes of GPU memory for blocks; default: what is free"
    )
    streams: int = setting(
        Count(1, 64), default=2, help="streams of a lane, used in turn: how many of its copies may run at once"
    )
    max_in_flight: int = setting(Count(1, 4096), default=128, help="most copies in flight in a lane, and its buffers")


MEASURES = (
    Measure("gpu", "string", "", "the GPU: its name, memory and PCI address"),
    Measure("copy_mean_ns", "float64", "ns", "how long a copy took on the GPU, by two CUDA events around it: mean"),
    Measure("copy_p99_ns", "int64", "ns", "the same: 99th percentile"),
)
