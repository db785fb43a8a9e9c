"""The settings and the columns of the driver `nixl`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import attrs

from kvscen.plugin import Count, Finding, Flag, ListOf, Measure, PathText, String, Word, setting
from kvscen_drivers.nixl_backends import BackendName

#: Backends by name: those that keep blocks in files, and those that move them to the memory of another process. Of
#: one that is not here NIXL itself says which kind of memory it has.
FILE_BACKENDS = ("POSIX", "GDS", "GDS_MT", "HF3FS")
NETWORK_BACKENDS = ("UCX", "LIBFABRIC", "Mooncake", "UCCL", "GPUNETIO")

#: What NIXL's POSIX plugin calls each `api`.
API_FLAGS = {"aio": "use_aio", "uring": "use_uring", "posix_aio": "use_posix_aio"}
#: The parameters that have a setting of their own.
_SAID = {**dict.fromkeys(API_FLAGS.values(), "api"), "kernel_queue_size": "kernel_queue_size"} | {
    "ios_pool_size": "ios_pool_size"
}


@attrs.frozen
class NixlSettings:
    """Settings of a tier of the driver `nixl`. Those that the backend has no use for are taken out."""

    backend: str = setting(
        BackendName(*FILE_BACKENDS, *NETWORK_BACKENDS),
        default="POSIX",
        help="NIXL's plugin; one of files, or one that reaches another process",
    )
    path: str | None = setting(
        PathText(), default=None, help="of files: folder on the file system under test; made if its parent exists"
    )
    direct: bool | None = setting(Flag(), default=True, help="of files: bypass the page cache (O_DIRECT)")
    allow_buffered: bool | None = setting(
        Flag(), default=False, help="of files: where direct I/O cannot be relied on, use the page cache and say so"
    )
    api: Literal["aio", "uring", "posix_aio"] | None = setting(
        Word(*API_FLAGS),
        default="aio",
        help="POSIX: what the plugin does its I/O with: Linux's native AIO, io_uring, or the C library's threads",
    )
    kernel_queue_size: int | None = setting(
        Count(1, 65536), default=256, help="POSIX: operations that a lane's queue gives to the kernel at once"
    )
    ios_pool_size: int | None = setting(
        Count(1, 1 << 20), default=65536, help="POSIX: operations that a lane's queue holds in all"
    )
    parameters: tuple[str, ...] | None = setting(
        ListOf(String()), default=None, help='more of what the plugin takes when it is created, each "name=value"'
    )
    env: tuple[str, ...] | None = setting(
        ListOf(String()), default=None, help='variables for NIXL and its libraries, each "UCX_TLS=tcp"'
    )
    recreate: bool = setting(
        Flag(), default=False, help="make a transfer request for each posting, instead of posting one again"
    )
    buffers: Literal["huge", "small"] = setting(
        Word("huge", "small"),
        default="huge",
        help="pages that buffers are made of: 2 MiB where the kernel gives them, or 4 KiB",
    )
    max_in_flight: int = setting(
        Count(1, 65536), default=128, help="most operations in flight in a lane, and its buffers"
    )

    @property
    def in_files(self) -> bool:
        """Whether the blocks lie in files. A backend that is not known here does where it has a `path`."""
        return self.backend in FILE_BACKENDS or (self.backend not in NETWORK_BACKENDS and self.path is not None)

    def check(self) -> Iterator[Finding]:
        if self.backend in FILE_BACKENDS and self.path is None:
            yield Finding(
                "KVS113", f"{self.backend} keeps blocks in files: it needs a `path`", "backend", 'add `path = "..."`'
            )
        if self.backend == "POSIX" and self.ios_pool_size is not None and self.max_in_flight > self.ios_pool_size:
            yield Finding(
                "KVS114",
                f"{self.max_in_flight} operations in flight are more than the {self.ios_pool_size} of `ios_pool_size`: "
                "NIXL would refuse them",
                "max_in_flight",
                "use a smaller `max_in_flight` or a larger `ios_pool_size`",
            )
        yield from _pairs(self.parameters, "parameters", "ios_pool_size=65536")
        yield from _pairs(self.env, "env", "UCX_TLS=tcp")
        for name in as_dict(self.parameters):
            if self.backend == "POSIX" and name in _SAID:
                yield Finding(
                    "KVS114", f"`{name}` is a setting of its own", "parameters", f"write `{_SAID[name]} = ...`"
                )

    def complete(self) -> NixlSettings:
        changes: dict[str, Any] = {}
        if not self.in_files:
            changes = dict.fromkeys(("path", "direct", "allow_buffered"))
        if self.backend != "POSIX":
            changes |= dict.fromkeys(("api", "kernel_queue_size", "ios_pool_size"))
        return attrs.evolve(self, **changes)

    def plugin_parameters(self) -> dict[str, str]:
        """What NIXL is told when it creates the backend."""
        own = {}
        if self.backend == "POSIX":
            own = {flag: str(api == self.api).lower() for api, flag in API_FLAGS.items()}
            own |= {name: str(getattr(self, name)) for name in ("kernel_queue_size", "ios_pool_size")}
        return own | as_dict(self.parameters)


def as_dict(pairs: Iterable[str] | None) -> dict[str, str]:
    """`name=value` texts by name."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs or ())}


def _pairs(pairs: Iterable[str] | None, name: str, example: str) -> Iterator[Finding]:
    for pair in pairs or ():
        if "=" not in pair or not pair.partition("=")[0].isidentifier():
            yield Finding("KVS105", f'"{pair}" is no name with a value', name, f'write each as "{example}"')


MEASURES = (
    Measure("nixl_version", "string", "", "the version of NIXL's Python package"),
    Measure("transfers", "int64", "", "transfers that were posted, from the start of the load to its end"),
    Measure("requests_made", "int64", "", "transfer requests that were made for them; the others were posted again"),
    Measure("prep_mean_ns", "float64", "ns", "mean of making a transfer request (createXferReq)"),
    Measure(
        "post_mean_ns",
        "float64",
        "ns",
        "mean of posting a transfer (the whole I/O where the backend does it in the call, as buffered AIO does)",
    ),
    Measure("transfer_mean_ns", "float64", "ns", "mean of the rest of a transfer, from the post to its completion"),
    Measure(
        "look_mean_ns",
        "float64",
        "ns",
        "mean time between two looks at what is in flight; an end is known no better than that",
    ),
)
