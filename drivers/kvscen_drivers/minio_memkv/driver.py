"""The driver `minio_memkv`: blocks in a MemKV cluster of MinIO's, by the client that it publishes for LMCache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from kvscen.plugin import (
    Availability,
    Count,
    Driver,
    DriverError,
    Duration,
    Finding,
    Footprint,
    ListOf,
    PathText,
    Secret,
    SecretFile,
    Store,
    String,
    Tier,
    Unavailable,
    Word,
    Work,
    buffers_for,
    setting,
)
from kvscen_drivers.call_store import MEASURES


@attrs.frozen
class MinioMemkvSettings:
    """Settings of a tier of the driver `minio_memkv`."""

    servers: tuple[str, ...] | None = setting(
        ListOf(String()), default=None, help='the servers, each "host:port"; default: as `config` says'
    )
    config: str | None = setting(PathText(), default=None, help="MemKV's own configuration file (MEMKV_CONFIG)")
    license: SecretFile | None = setting(  # noqa: RUF009 - an attrs field
        Secret(), default=None, help="the licence's file; default: where the client looks by itself"
    )
    auth_key: SecretFile | None = setting(  # noqa: RUF009 - an attrs field
        Secret(), default=None, help="the cluster's shared key, in a file of its own"
    )
    transport: Literal["auto", "tcp", "rdma"] = setting(
        Word("auto", "tcp", "rdma"), default="auto", help="what the client is asked to use (MEMKV_TRANSPORT)"
    )
    devices: tuple[str, ...] | None = setting(ListOf(String()), default=None, help="RDMA devices (MEMKV_RDMA_DEVICES)")
    prefix: str = setting(String(), default="kvscen:", help="what the names of our keys begin with")
    patience_ns: int = setting(
        Duration(minimum=10**6), default=10 * 10**9, help="so long may one call take; then the point has failed"
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane; what waits goes in one call"
    )

    def check(self) -> Iterator[Finding]:
        if self.servers is None and self.config is None:
            yield Finding(
                "KVS113", "where are the servers?", "servers", 'add `servers = ["10.0.0.10:9900"]` or `config = "FILE"`'
            )
        if len(self.prefix) > 400:
            yield Finding("KVS105", "MemKV's keys have at most 512 bytes", "prefix", "use a shorter one")


class MinioMemkvDriver(Driver):
    """Blocks in a MemKV cluster."""

    name = "minio_memkv"
    # Whoever has a licence and sees the contract pass may take the last sentence away.
    summary = (
        "Blocks in a MemKV cluster of MinIO's, by its published client, which needs a licence. "
        "Not verified: no licensed cluster has run this code yet."
    )
    settings = MinioMemkvSettings
    measures = MEASURES

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        buffers = work.threads * work.processes * buffers_for(work, tier.settings.max_in_flight)
        return Footprint(memory_bytes=buffers * work.block_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        from kvscen_drivers.minio_memkv import store

        try:
            if tier is None:
                store.make({})
            else:
                store.connect(tier)
        except (Unavailable, DriverError) as error:
            return Availability(False, str(error), error.remedy)
        return Availability(True, facts={"memkv-lmcache": store.version()})

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.minio_memkv.store import MinioMemkvStore

        return MinioMemkvStore(tier)
