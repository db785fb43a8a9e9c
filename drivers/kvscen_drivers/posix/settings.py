"""The settings and the columns of the driver `posix`."""

from __future__ import annotations

from typing import Literal

import attrs

from kvscen.plugin import Count, Flag, Measure, PathText, Word, setting
from kvscen_drivers.gpu import bounce


@attrs.frozen
class PosixSettings:
    """Settings of a tier of the driver `posix`."""

    path: str = setting(PathText(), help="folder on the file system under test; made if its parent exists")
    direct: bool = setting(Flag(), default=True, help="bypass the page cache (O_DIRECT)")
    engine: Literal["auto", "io_uring", "libaio", "threads"] = setting(
        Word("auto", "io_uring", "libaio", "threads"),
        default="auto",
        help="how operations are kept in flight; auto: io_uring where it works, else libaio for direct I/O, "
        "else a thread for each",
    )
    registered: bool = setting(
        Flag(), default=False, help="io_uring: register buffers and files with the kernel once, not in each operation"
    )
    layout: Literal["file", "lane", "block"] = setting(
        Word("file", "lane", "block"),
        default="file",
        help="one file for all blocks, one for each lane, or one for each block as key-value stores do",
    )
    open_files: int = setting(
        Count(1, 1 << 20),
        default=512,
        help="layout = block: files that a process keeps open; others are opened when used",
    )
    buffers: Literal["huge", "small"] = setting(
        Word("huge", "small"),
        default="huge",
        help="pages that buffers are made of: 2 MiB where the kernel gives them, or 4 KiB",
    )
    cache: Literal["keep", "drop"] = setting(
        Word("keep", "drop"),
        default="keep",
        help="drop: write the data back and out of the page cache before each trial",
    )
    allow_buffered: bool = setting(
        Flag(), default=False, help="where direct I/O cannot be relied on, use the page cache and say so"
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane, and its buffers"
    )
    gpu: int | None = bounce.gpu_setting()


MEASURES = (
    Measure("engine", "string", "", "what kept operations in flight: io_uring, libaio or threads"),
    Measure(
        "engine_reason",
        "string",
        "",
        "why `engine = auto` did not take io_uring; null where it did or was not asked",
    ),
    Measure(
        "page_cache_before_bytes",
        "int64",
        "B",
        "bytes of the data set in the page cache before the load; null for direct I/O, or where nobody says",
    ),
    Measure("page_cache_after_bytes", "int64", "B", "the same after the load"),
    *bounce.MEASURES,
)
