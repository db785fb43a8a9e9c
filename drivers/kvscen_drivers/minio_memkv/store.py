"""One tier of the driver `minio_memkv` in one worker. The client is `memkv_lmcache._native.Client`; LMCache itself is
not needed."""

from __future__ import annotations

import errno
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from kvscen.plugin import Arena, DriverError, Lane, Layout, PathReport, Tier, Unavailable, read_secret, show_bytes
from kvscen_drivers.call_store import CallStore
from kvscen_drivers.calls import Failed
from kvscen_drivers.minio_memkv.driver import MinioMemkvSettings
from kvscen_drivers.nixl.wheel import variables

INSTALL = "pip install --no-deps memkv-lmcache (MinIO's, proprietary; it needs a licence from them)"
#: The client does not say how much fits.
_MOST_BYTES = 1 << 50
_MISSED = Failed(
    errno.ENODATA, "the cluster has no such key of this length: it was evicted or removed, or is another one"
)
_REFUSED = Failed(errno.EREMOTEIO, "the client says that the write failed; it gives no reason")


def version() -> str:
    try:
        return metadata.version("memkv-lmcache")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def native() -> Any:
    """The module with Client. Raises Unavailable."""
    if importlib.util.find_spec("memkv_lmcache") is None:
        raise Unavailable("MinIO's client for MemKV is not installed", INSTALL)
    try:
        return importlib.import_module("memkv_lmcache._native")
    except ImportError as error:
        raise Unavailable(f"MinIO's client for MemKV cannot be imported: {error}", INSTALL) from error


def make(told: Mapping[str, str], whose: str = "") -> Any:
    """A client that is told this, by variables alone: it reads them when it is made, and asks for its licence. Raises
    Unavailable, DriverError."""
    module = native()
    try:
        with variables(told):
            return module.Client()
    except Exception as error:  # it knows no other kind than RuntimeError
        if "license" in str(error).lower():
            raise Unavailable(
                f"{whose}MinIO's client for MemKV: {error}", 'ask MinIO for one: `license = secret("FILE")`'
            ) from error
        raise DriverError(
            f"{whose}MinIO's client for MemKV: {error}", "see `servers`, `config`, `transport` and `devices`"
        ) from error


def connect(tier: Tier) -> Any:
    """A client, with a connection to every server. Raises Unavailable, DriverError."""
    settings: MinioMemkvSettings = tier.settings
    told: dict[str, str] = {"MEMKV_TRANSPORT": settings.transport}
    if settings.servers is not None:
        told["MEMKV_SERVERS"] = ",".join(settings.servers)
    if settings.devices is not None:
        told["MEMKV_RDMA_DEVICES"] = ",".join(settings.devices)
    if settings.config is not None:
        told["MEMKV_CONFIG"] = settings.config
    if settings.license is not None:
        told["MEMKV_LICENSE"] = settings.license.path
    if settings.auth_key is not None:
        told["MEMKV_AUTH_KEY"] = read_secret(settings.auth_key)
    client = make(told, f"tier `{tier.name}`: ")
    try:
        client.warmup()
    except Exception as error:
        raise Unavailable(
            f"tier `{tier.name}`: the MemKV servers {', '.join(client.servers())} cannot be reached: {error}",
            "start them, or name others in `servers`",
        ) from error
    return client


class MinioMemkvStore(CallStore):
    """One point's view of its tier's cluster."""

    def __init__(self, tier: Tier) -> None:
        """Raises Unavailable, DriverError."""
        settings: MinioMemkvSettings = tier.settings
        self._client = connect(tier)
        self._servers = ", ".join(self._client.servers())
        where = f"the MemKV cluster at {self._servers}"
        super().__init__(tier, where, settings.prefix, settings.max_in_flight, settings.patience_ns)

    def lane(self, index: int, arena: Arena) -> Lane:
        return self._lane(self._move, arena)

    def _move(
        self, write: bool, names: Sequence[str], addresses: Sequence[int], sizes: Sequence[int]
    ) -> list[Failed | None]:
        call = self._client.batch_put_views if write else self._client.batch_get_into
        answers: Sequence[bool] = call(list(zip(names, addresses, sizes, strict=True)))
        return [None if good else _REFUSED if write else _MISSED for good in answers]

    def prepare(self, layout: Layout) -> Sequence[int]:
        needed = layout.keys * layout.stride_bytes
        if needed > _MOST_BYTES:
            raise DriverError(
                f"tier `{self._tier.name}`: {show_bytes(needed)} of blocks are more than is asked of a cluster here, "
                f"{show_bytes(_MOST_BYTES)}",
                "touch fewer keys (`working_set`)",
            )
        return self._missing(layout, self._there)

    def _there(self, names: list[str]) -> Sequence[object]:
        try:
            answers: Sequence[object] = self._client.exists(names)
        except Exception as error:
            raise DriverError(
                f"tier `{self._tier.name}`: {self._where} does not say which keys it has: {error}",
                "see whether its servers run",
            ) from error
        return answers

    def path(self) -> PathReport:
        rdma = "has" if self._client.has_rdma() else "does not have"
        return self._path(f"MinIO's client {version()} to {self._servers}, which says that it {rdma} RDMA")
