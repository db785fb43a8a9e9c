"""The settings and the columns of the driver `mooncake`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from kvscen.plugin import Count, Duration, Finding, Measure, Size, String, Unfit, Word, setting
from kvscen_drivers.call_store import MEASURES as CALL_MEASURES

#: Metadata that nodes exchange among themselves, without a server for it.
PEER_TO_PEER = "P2PHANDSHAKE"


class MasterText(String):
    """Where a master listens."""

    def describe(self) -> str:
        return 'an address such as `"10.0.0.7:50051"`'

    def convert(self, value: Any) -> str:
        text = super().convert(value)
        try:
            address_of(text)
        except ValueError:
            raise Unfit(f'"{text}" is no `host:port`', f"write {self.describe()}") from None
        return text


def address_of(text: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(text)
    return host.strip("[]"), int(port)


@attrs.frozen
class MooncakeSettings:
    """Settings of a tier of the driver `mooncake`. Those of a private store are taken out where a master is named."""

    master: str | None = setting(
        MasterText(),
        default=None,
        help="the store's master; default: a private one on this machine with a process that holds the blocks, started "
        "for the run and ended with it",
    )
    protocol: Literal["tcp", "rdma"] = setting(
        Word("tcp", "rdma"), default="tcp", help="how blocks are moved; rdma is untested"
    )
    devices: str | None = setting(String(), default=None, help='rdma: the devices, such as "mlx5_0,mlx5_1"')
    metadata: str = setting(
        String(), default=PEER_TO_PEER, help="the metadata server of the cluster; default: nodes tell each other"
    )
    host: str = setting(
        String(), default="127.0.0.1", help="this machine's address, as the nodes of the cluster reach it"
    )
    prefix: str = setting(String(), default="kvscen:", help="what the names of our keys begin with")
    capacity_bytes: int | None = setting(
        Size(minimum=64 << 20), default=None, help="of a private store: its memory; default: what the blocks need"
    )
    patience_ns: int = setting(
        Duration(minimum=10**6), default=10 * 10**9, help="so long may one call take; then the point has failed"
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane; what waits goes in one call"
    )

    def check(self) -> Iterator[Finding]:
        if not self.prefix:
            yield Finding(
                "KVS105", "without a prefix every key of the store would be ours", "prefix", 'write `"kvscen:"`'
            )
        if self.devices is not None and self.protocol != "rdma":
            yield Finding("KVS114", "`devices` are of `protocol = rdma`", "devices", "leave it out")

    def complete(self) -> MooncakeSettings:
        return self if self.master is None else attrs.evolve(self, capacity_bytes=None)


MEASURES = (
    Measure("mooncake_version", "string", "", "the version of Mooncake's Python package"),
    *CALL_MEASURES,
)
