"""The driver `redis`: blocks as values of a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvscen.plugin import (
    Availability,
    Driver,
    DriverError,
    Finding,
    Footprint,
    Store,
    Tier,
    Work,
    show_bytes,
)
from kvscen_drivers.gpu.bounce import lane_buffers, through_host
from kvscen_drivers.redis import client, server
from kvscen_drivers.redis.settings import MAX_VALUE_BYTES, MEASURES, Address, RedisSettings, too_large


class RedisDriver(Driver):
    """Blocks in a key-value server."""

    name = "redis"
    summary = "Blocks as values of a Redis or Valkey server, sent from and received into the caller's buffers."
    settings = RedisSettings
    memory = frozenset({"dram", "vram"})
    measures = MEASURES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: RedisSettings = tier.settings
        if work.block_bytes > MAX_VALUE_BYTES:
            yield Finding(
                "KVS302",
                too_large(work.block_bytes),
                help="use smaller blocks",
            )
        if settings.endpoint is None and work.processes > 1:
            yield Finding(
                "KVS302",
                f"a private server belongs to one worker, and there are {work.processes} processes",
                help="start a server and name its `endpoint`, or use `threads`",
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
        settings: RedisSettings = tier.settings
        buffers = work.threads * work.processes * lane_buffers(work, work.block_bytes, settings.max_in_flight)
        kept = work.keys if settings.endpoint is None else 0
        return Footprint(memory_bytes=(buffers + kept) * work.block_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        if not client.installed():
            return Availability(False, client.MISSING, client.INSTALL)
        from importlib import metadata

        facts = {"redis-py": metadata.version("redis")}
        endpoint = None if tier is None else tier.settings.endpoint
        if tier is None or endpoint is None:
            path = server.program()
            if path is None:
                # A tier that names an endpoint needs none.
                return Availability(False, server.MISSING, server.INSTALL, facts)
            try:
                facts["server"] = f"{server.program_version(path)} ({path})"
            except DriverError as error:
                return Availability(False, str(error), error.remedy, facts)
            return Availability(True, facts=facts)
        try:
            named = client.Client(tier, client.Login.of(tier.settings, Address.of(endpoint)))
            from kvscen_drivers.redis.store import describe_server

            facts["server"] = describe_server(named)
            named.close()
        except DriverError as error:
            return Availability(False, str(error), error.remedy, facts)
        return Availability(True, facts=facts)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.redis.store import RedisStore

        return through_host(tier.settings.gpu, work, lambda own: RedisStore(tier, own))
