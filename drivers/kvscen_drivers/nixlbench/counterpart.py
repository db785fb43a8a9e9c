"""What a tier of another driver is in nixlbench's settings, and what of it nixlbench does not do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kvscen.plugin import Point
from kvscen_drivers.nixlbench.settings import NixlbenchSettings

PROGRAM = "nixlbench"
_ENGINES = {"io_uring": "URING", "libaio": "AIO", "threads": "POSIXAIO", "auto": "URING"}
_APIS = {"uring": "URING", "aio": "AIO", "posix_aio": "POSIXAIO"}
_SMALL = "`buffers = huge`: nixlbench has small pages; `--use_hugepages=true` takes reserved ones"


def settings_of(point: Point) -> Any:
    """A point's tier in nixlbench's settings; None where it has no such thing."""
    settings: Any = point.tier.settings
    match point.tier.driver:
        case "nixlbench":
            return settings
        case "posix":
            return NixlbenchSettings(
                backend="POSIX",
                filepath=settings.path,
                storage_enable_direct=settings.direct,
                posix_api_type=_ENGINES[settings.engine],
                num_files=point.work.threads if settings.layout == "lane" else 1,
            ).complete()
        case "nixl":
            return _of_nixl(settings)
    return None


def _of_nixl(settings: Any) -> Any:
    files: dict[str, Any] = {}
    if settings.path is not None:
        files = {"filepath": settings.path, "storage_enable_direct": settings.direct, "storage": True}
    if settings.backend == "POSIX":
        files |= {
            "posix_api_type": _APIS[settings.api],
            "posix_ios_pool_size": settings.ios_pool_size,
            "posix_kernel_queue_size": settings.kernel_queue_size,
        }
    own = NixlbenchSettings(backend=settings.backend, recreate_xfer=settings.recreate, env=settings.env, **files)
    return own.complete()


def lost(point: Point) -> Iterator[str]:
    """What of another driver's tier nixlbench does not do."""
    settings: Any = point.tier.settings
    if point.tier.driver == "posix":
        yield from _lost_of_posix(settings)
    elif point.tier.driver == "nixl":
        if settings.parameters:
            yield f"`parameters`: nixlbench has no flags for {', '.join(settings.parameters)}"
        if settings.buffers == "huge":
            yield _SMALL
    else:
        return
    if point.work.batch > settings.max_in_flight:
        yield (
            f"`{point.tier.driver}` has {settings.max_in_flight} operations in flight, nixlbench all "
            f"{point.work.batch} of a batch"
        )


def _lost_of_posix(settings: Any) -> Iterator[str]:
    if settings.engine == "auto":
        yield "`engine = auto` is decided on the machine: io_uring is taken here"
    elif settings.engine == "threads":
        yield "`engine = threads` uses preadv and pwritev2, POSIXAIO the C library's aio"
    if settings.registered:
        yield "`registered`: nixlbench registers no buffers with the kernel"
    if settings.layout == "block":
        yield "`layout = block`: nixlbench has no file for each block, all are in one"
    if settings.buffers == "huge":
        yield _SMALL
    if settings.cache == "drop":
        yield "`cache = drop`: nixlbench leaves in the page cache what is there"
