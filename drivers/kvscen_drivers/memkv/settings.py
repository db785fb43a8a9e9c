"""The settings and the columns of the driver `memkv`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs

from kvscen.plugin import (
    Count,
    Duration,
    Finding,
    Flag,
    Measure,
    OneOrMore,
    PathText,
    Secret,
    SecretFile,
    Size,
    String,
    Word,
    setting,
)
from kvscen_drivers.gpu import bounce
from kvscen_drivers.memkv.patience import SPIN_NS

#: What only servers that the driver starts itself are told.
_OF_OWN = ("servers", "values", "path", "capacity_bytes", "eviction")


@attrs.frozen
class MemkvSettings:
    """Settings of a tier of the driver `memkv`. Those of the servers that it starts itself are taken out where it is
    told of others (`endpoints`)."""

    endpoints: tuple[str, ...] | None = setting(
        OneOrMore(String()),
        default=None,
        help='servers that run already, each "host:port" (default: servers of its own on this machine)',
    )
    servers: int | None = setting(
        Count(1, 64), default=None, help="without `endpoints`: how many servers to start (default: 1)"
    )
    values: Literal["memory", "files"] | None = setting(
        Word("memory", "files"),
        default=None,
        help="without `endpoints`: where the servers keep values: memory (the default), or files with direct I/O",
    )
    path: str | None = setting(
        PathText(), default=None, help="with `values = files`: folder for them; made if its parent exists"
    )
    capacity_bytes: int | None = setting(
        Size(minimum=1),
        default=None,
        help="without `endpoints`: most bytes of values of each server (default: half of what the machine has free)",
    )
    eviction: Literal["none", "lru"] | None = setting(
        Word("none", "lru"),
        default=None,
        help="without `endpoints`: what a full server does: refuse (the default), or drop what was used longest ago",
    )
    transport: Literal["tcp", "shm", "rdma"] = setting(
        Word("tcp", "shm", "rdma"),
        default="tcp",
        help="how blocks travel: over the connections, or moved by the lanes themselves in the servers' memory, mapped "
        "(shm, servers on this machine) or through RDMA devices (rdma)",
    )
    devices: tuple[str, ...] | None = setting(
        OneOrMore(String()),
        default=None,
        help="with `transport = rdma`: RDMA devices of this machine, one or several rails, such as "
        '["mlx5_0", "mlx5_1"] (default: all that have a link)',
    )
    gid_index: int | None = setting(
        Count(0, 255), default=None, help="with `transport = rdma`: which GID of their ports, as RoCE needs it"
    )
    connections: int = setting(Count(1, 256), default=1, help="connections of a lane to each server")
    congestion: str | None = setting(
        String(), default=None, help="TCP's congestion control, such as \"bbr\" (default: the machine's)"
    )
    coalesce: bool = setting(
        Flag(), default=False, help="merge the reads of a batch that touch the same value, or ranges next to each other"
    )
    entry: int = setting(
        Count(1, 65536), default=1, help="blocks of one value: so many neighbouring keys are ranges of it"
    )
    secret: SecretFile | None = setting(
        Secret(), default=None, help="what servers and clients show each other that they know"
    )
    timeout_ns: int = setting(
        Duration(minimum=1_000_000),
        default=10 * 10**9,
        help="a server that sends nothing for so long fails what it was asked; at most half of the sweep's `timeout`",
    )
    spin_ns: int = setting(
        Duration(),
        default=SPIN_NS,
        help="how long lanes, and servers of its own, look for more before they sleep, where it came about as soon "
        "before; `0 us`: not at all",
    )
    max_in_flight: int = setting(
        Count(1, 4096), default=128, help="most operations in flight in a lane, and its buffers"
    )
    gpu: int | None = bounce.gpu_setting()

    def check(self) -> Iterator[Finding]:
        if self.transport != "rdma":
            for name in ("devices", "gid_index"):
                if getattr(self, name) is not None:
                    yield Finding("KVS114", f"`{name}` is for `transport = rdma`", name, f"leave `{name}` out")
        if self.endpoints is not None:
            for name in _OF_OWN:
                if getattr(self, name) is not None:
                    shown = name.removesuffix("_bytes")
                    yield Finding(
                        "KVS114",
                        f"`{shown}` is of servers that the driver starts, and `endpoints` names others",
                        shown,
                        f"leave `{shown}` out, or `endpoints`",
                    )
            for text in self.endpoints:
                place = split_endpoint(text)
                if place is None:
                    yield Finding("KVS105", f'"{text}" is no host with a port', "endpoints", 'write "10.0.0.5:7707"')
                elif self.transport == "shm" and not _here(place[0]):
                    yield Finding(
                        "KVS351",
                        f'a server\'s memory is mapped on its own machine alone, and "{text}" is reached by a network',
                        "endpoints",
                        f'write "127.0.0.1:{place[1]}" if it is this machine; else use `transport = tcp` or `rdma`',
                    )
        elif self.values == "files" and self.path is None:
            yield Finding("KVS113", "values in files need a folder", "values", 'add `path = "..."`')
        elif self.path is not None and self.values != "files":
            yield Finding("KVS114", "`path` is for values in files", "path", "add `values = files`")

    def complete(self) -> MemkvSettings:
        if self.endpoints is not None:
            return self
        values = self.values or "memory"
        return attrs.evolve(self, servers=self.servers or 1, values=values, eviction=self.eviction or "none")


def split_endpoint(text: str, least_port: int = 1) -> tuple[str, int] | None:
    """Host and port of "10.0.0.5:7707" or "[::1]:7707"; None where it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not least_port <= int(port) < 65536:
        return None
    return host, int(port)


def _here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


MEASURES = (
    Measure("transport", "string", "", "how values travelled: tcp, shm or rdma"),
    Measure(
        "merge_ratio",
        "float64",
        "1",
        "operations of the load / requests; above 1 where reads were coalesced",
    ),
    Measure("servers", "int64", "", "servers that the values are spread over"),
    Measure("connections_used", "int64", "", "connections of all lanes of a worker"),
    Measure("congestion_control", "string", "", "TCP's congestion control of them"),
    Measure("interface", "string", "", "network interfaces that have their addresses"),
    Measure("wire_operations", "int64", "operations", "requests of the load, warm-up included"),
    Measure("coalesced_operations", "int64", "operations", "operations that another one's request served"),
    Measure(
        "sent_bytes", "int64", "B", "bytes that the lanes sent from the start of the load to its end, heads included"
    ),
    Measure("received_bytes", "int64", "B", "bytes that they received"),
    Measure("kernel_sent_bytes", "int64", "B", "the same as TCP counts it: bytes that the servers' machines confirmed"),
    Measure("kernel_received_bytes", "int64", "B", "the same as TCP counts it: bytes received"),
    Measure("retransmitted_segments", "int64", "", "segments that TCP sent again"),
    Measure(
        "lane_moved_operations",
        "int64",
        "operations",
        "reads and writes of the servers' memory by the lanes themselves (shm, rdma)",
    ),
    Measure("lane_moved_bytes", "int64", "B", "bytes that they moved"),
    Measure("devices", "string", "", "RDMA devices of this machine that the lanes used"),
    Measure(
        "device_bytes",
        "int64",
        "B",
        "bytes that the devices' ports sent and received, of all programs, where they count",
    ),
    Measure("device_packets", "int64", "packets", "packets that they sent and received"),
    Measure("server_cpu_ns", "int64", "ns", "CPU time of all servers from the start of the load to its end"),
    *bounce.MEASURES,
)
