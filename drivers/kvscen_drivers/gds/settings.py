"""The settings and the columns of the driver `gds`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from kvscen.plugin import Count, Finding, Flag, Measure, PathText, Word, setting


@attrs.frozen
class GdsSettings:
    """Settings of a tier of the driver `gds`."""

    path: str = setting(PathText(), help="folder on the file system under test; made if its parent exists")
    mode: Literal["batch", "sync", "stream"] = setting(
        Word("batch", "sync", "stream"),
        default="batch",
        help="batch: cuFile's batch calls; sync: cuFileRead and cuFileWrite, a thread for each operation in flight; "
        "stream: cuFileReadAsync and cuFileWriteAsync on CUDA streams",
    )
    streams: int | None = setting(
        Count(1, 256),
        default=None,
        help="with `mode = stream`: streams of a lane, used in turn (default: 16); those of one stream run one by one",
    )
    device: int = setting(
        Count(0, 1023), default=0, help="the GPU of the buffers, as CUDA counts them (CUDA_VISIBLE_DEVICES)"
    )
    compat: Literal["allow", "forbid"] = setting(
        Word("allow", "forbid"),
        default="allow",
        help="whether cuFile may bounce blocks through host memory where there is no direct way",
    )
    registered: bool = setting(Flag(), default=True, help="register the buffers with cuFile, once")
    allow_buffered: bool = setting(
        Flag(), default=False, help="where direct I/O cannot be relied on, use the page cache and say so"
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane, and its buffers"
    )
    unclamped: bool = setting(
        Flag(), default=False, help="have more in flight than cuFile's configuration has room for: it may hang"
    )

    def check(self) -> Iterator[Finding]:
        if self.streams is not None and self.mode != "stream":
            yield Finding(
                "KVS114", "`streams` is of `mode = stream`", "streams", "leave it out, or set `mode = stream`"
            )

    def complete(self) -> GdsSettings:
        return attrs.evolve(self, streams=(self.streams or 16) if self.mode == "stream" else None)


MEASURES = (
    Measure("cufile_version", "string", "", "cuFile's version, and that of the bindings"),
    Measure("gds_mode", "string", "", "which calls of cuFile moved the blocks: batch, sync or stream"),
    Measure("in_flight_limit", "int64", "", "most operations that cuFile's configuration has room for in a lane"),
    Measure("in_flight_limit_reason", "string", "", "which of its settings says so"),
    Measure("buffers_registered", "string", "", "yes, or why the buffers are not registered with cuFile"),
    Measure("prep_mean_ns", "float64", "ns", "batch, stream: mean of making the parameters of a submission"),
    Measure(
        "post_mean_ns",
        "float64",
        "ns",
        "batch, stream: mean of the call that submits: cuFileBatchIOSubmit, or cuFileReadAsync with its events",
    ),
    Measure(
        "transfer_mean_ns",
        "float64",
        "ns",
        "batch, stream: mean from the return of that call to the end of an operation",
    ),
    Measure(
        "stream_mean_ns", "float64", "ns", "stream: an operation on its stream, by two CUDA events around it: mean"
    ),
    Measure("stream_p99_ns", "int64", "ns", "the same: 99th percentile"),
)
