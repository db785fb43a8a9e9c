"""The driver `memkv`: blocks as values of key-value servers, its own or those that it is told of, over the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kvscen.plugin import (
    Availability,
    Driver,
    DriverError,
    Finding,
    Footprint,
    Severity,
    Store,
    Tier,
    Work,
    read_secret,
    show_bytes,
)
from kvscen_drivers.gpu.bounce import lane_buffers, through_host
from kvscen_drivers.memkv.settings import MEASURES, MemkvSettings, split_endpoint

if TYPE_CHECKING:
    import click


class MemkvDriver(Driver):
    """Blocks in key-value servers."""

    name = "memkv"
    summary = "Blocks in key-value servers over TCP, RDMA or shared memory: its own, or `kvscen serve memkv` elsewhere."
    settings = MemkvSettings
    memory = frozenset({"dram", "vram"})
    measures = MEASURES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: MemkvSettings = tier.settings
        if settings.capacity_bytes is not None and settings.eviction == "none":
            room = settings.capacity_bytes * (settings.servers or 1)
            if work.working_set_bytes > room:
                yield Finding(
                    "KVS311",
                    f"the pattern touches {show_bytes(work.working_set_bytes)}, which do not fit in the servers' "
                    f"{show_bytes(room)}",
                    "capacity",
                    help="give the servers a larger `capacity`, the pattern a smaller `working_set`, "
                    "or set `eviction = lru`",
                )
        if settings.coalesce and work.wait != "batch" and work.op != "write":
            yield Finding(
                "KVS350",
                "only reads that are posted together are merged, and with `wait = operation` most are posted alone",
                "coalesce",
                help="set `wait = batch` in the pattern",
                severity=Severity.WARNING,
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        settings: MemkvSettings = tier.settings
        lanes, block = work.threads * work.processes, work.block_bytes
        memory = lanes * lane_buffers(work, block, settings.max_in_flight) * block
        if settings.endpoints is not None:
            return Footprint(memory_bytes=memory)
        if settings.values == "files":
            return Footprint(memory_bytes=memory, disk_bytes=work.working_set_bytes)
        return Footprint(memory_bytes=memory + work.working_set_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        from kvscen_drivers.memkv.client import Control, Endpoint

        settings: MemkvSettings | None = None if tier is None else tier.settings
        if settings is not None and settings.transport == "rdma":
            from kvscen_drivers.memkv.engine import why_not

            reason, remedy = why_not(settings.devices or ())
            if reason:
                return Availability(False, reason, remedy)
        if settings is None or settings.endpoints is None:
            return Availability(True, facts={"servers": "its own, on this machine"})
        facts: dict[str, str] = {}
        try:
            secret = None if settings.secret is None else read_secret(settings.secret).encode()
            for text in settings.endpoints:
                place = split_endpoint(text)
                assert place is not None, "a checked setting"
                control = Control(Endpoint(*place, secret), 5.0, settings.transport)
                told = control.about()
                control.close()
                facts[text] = f"{told['values']} values, {show_bytes(int(told['used_bytes']))} used"
        except DriverError as error:
            return Availability(False, str(error), error.remedy, facts)
        return Availability(True, facts=facts)

    def server(self) -> click.Command:
        from kvscen_drivers.memkv.serve import command

        return command

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        from kvscen_drivers.memkv.store import MemkvStore

        return through_host(tier.settings.gpu, work, lambda own: MemkvStore(tier, own))
