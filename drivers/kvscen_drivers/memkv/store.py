"""One tier of the driver `memkv` in one worker: its servers, its lanes, and what is known of the way."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from kvscen.plugin import (
    Arena,
    DriverError,
    Lane,
    Layout,
    Limits,
    PathReport,
    Store,
    Tier,
    Work,
    host_arena,
    show_bytes,
)
from kvscen_drivers.memkv import engine
from kvscen_drivers.memkv.chunk import Place
from kvscen_drivers.memkv.client import Control, Counted, congestion_of, connect, interface_of
from kvscen_drivers.memkv.fleet import Namespace, join, part_from
from kvscen_drivers.memkv.lane import Figures, MemkvLane
from kvscen_drivers.memkv.lent import LentLine
from kvscen_drivers.memkv.line import Line
from kvscen_drivers.memkv.placement import servers_of
from kvscen_drivers.memkv.settings import MemkvSettings

#: The kernel's count may differ from ours by what is on its way, and by one for the start of the connection.
_TOLERANCE = 0.01


@attrs.frozen
class _Before:
    """What was counted when a trial began."""

    figures: Figures
    sent: int
    received: int
    kernel: Counted | None
    server_cpu_ns: int
    moved: tuple[int, int]
    devices: engine.DeviceCount


class MemkvStore(Store):
    """One point's view of its tier's servers. Raises DriverError."""

    def __init__(self, tier: Tier, work: Work) -> None:
        settings: MemkvSettings = tier.settings
        self._tier, self._work, self._settings = tier, work, settings
        self._timeout_ns = min(settings.timeout_ns, work.timeout_ns // 2)
        self._lanes: list[MemkvLane] = []
        self._layout: Layout | None = None
        self._laid_out: Layout | None = None
        self._namespace: Namespace | None = None
        self._place: Place | None = None
        self._before: _Before | None = None
        self._open = True
        self._registered: list[int] = []
        self._fleet = join(tier, self._timeout_ns / 1e9)
        self._at_first = self._device_count()
        limits = self._fleet.limits
        self._takes = limits
        # Held back one by one, operations would have no others to be merged with.
        pipelined = work.wait == "batch" or not settings.coalesce
        self.limits = Limits(
            alignment_bytes=limits.grain if settings.entry > 1 else 1,
            max_in_flight=settings.max_in_flight,
            pipelined=pipelined,
        )

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def lane(self, index: int, arena: Arena) -> Lane:
        settings, batch = self._settings, 0
        if self._fleet.engine is not None:
            self._fleet.engine.register(arena.address, arena.nbytes)
            self._registered.append(arena.address)
        if self._work.wait == "batch":
            batch = min(self._work.batch, settings.max_in_flight, self._takes.batch)
        lane = MemkvLane(
            self._dial,
            len(self._fleet.endpoints),
            settings.connections,
            arena,
            settings.max_in_flight,
            self.clock,
            batch=batch,
            merges=settings.coalesce,
            evicts=self._takes.evicts,
            timeout_ns=self._timeout_ns,
            spin_ns=settings.spin_ns,
        )
        self._lanes.append(lane)
        if self._place is not None:
            lane.turn_to(self._place)
        return lane

    def _dial(self, server: int) -> Line:
        endpoint, transport = self._fleet.endpoints[server], self._settings.transport
        try:
            sock, limits = connect(endpoint, self._timeout_ns / 1e9, self._settings.congestion, transport)
        except OSError as error:
            raise DriverError(
                f"tier `{self._tier.name}`: this machine has no congestion control `{self._settings.congestion}`: "
                f"{error.strerror}",
                "use one of those in /proc/sys/net/ipv4/tcp_available_congestion_control",
            ) from error
        if transport == "tcp":
            return Line(endpoint, server, sock)
        try:
            reach = self._fleet.reach(server, Control.over(endpoint, sock, limits))
        except DriverError as error:
            sock.close()
            raise type(error)(f"tier `{self._tier.name}`: {error}", error.remedy) from error
        return LentLine(transport, endpoint, server, sock, reach)

    # ---- laying out

    def prepare(self, layout: Layout) -> Sequence[int]:
        settings, entry = self._settings, self._settings.entry
        if layout.stride_bytes * entry > self._takes.value_bytes:
            raise DriverError(
                f"tier `{self._tier.name}`: a value of {show_bytes(layout.stride_bytes * entry)} is more than the "
                f"{show_bytes(self._takes.value_bytes)} that its servers take",
                "use smaller blocks, a smaller `entry`, or give the servers more `capacity`",
            )
        self._refuse_too_much(-(-layout.keys // entry) * entry * layout.stride_bytes)
        if self._namespace is None or layout.stride_bytes != (self._layout or layout).stride_bytes:
            if self._namespace is not None:
                self._fleet.leave(self._namespace)
            self._namespace = self._fleet.namespace(layout.stride_bytes, entry)
        self._layout = layout
        self._place = Place(self._namespace.tag, layout, settings.entry, len(self._fleet.endpoints))
        for lane in self._lanes:
            lane.turn_to(self._place)
        if self._laid_out == layout:
            return ()
        return range(layout.first_key, layout.first_key + layout.keys)

    def _refuse_too_much(self, nbytes: int) -> None:
        if self._takes.evicts:
            return
        room = sum(int(told["capacity_bytes"]) for told in self._fleet.about())
        if nbytes > room:
            raise DriverError(
                f"tier `{self._tier.name}`: {show_bytes(nbytes)} of blocks do not fit in its servers, which keep "
                f"{show_bytes(room)} and evict nothing",
                "give them more `capacity`, touch fewer keys (`working_set`), or let them evict (`eviction = lru`)",
            )

    def settle(self) -> None:
        self._laid_out = self._layout

    # ---- between trials

    def reset(self) -> None:
        self.check()
        for lane in self._lanes:
            lane.lines.mend()
        self.recount()

    def recount(self) -> None:
        sent, received, kernel = self._counted()
        self._before = _Before(
            self._figures(), sent, received, kernel, self._server_cpu_ns(), self._moved(), self._device_count()
        )

    def check(self) -> None:
        try:
            self._fleet.check()
        except DriverError as error:
            said = self._complaint()
            raise type(error)(f"{error}; {said}" if said else str(error), error.remedy) from error

    def _complaint(self) -> str:
        return next((said for lane in self._lanes if (said := lane.lines.complaint())), "")

    # ---- what is known

    def measures(self) -> Mapping[str, int | float | str | None]:
        sent, received, kernel = self._counted()
        figures, before = self._figures(), self._before
        (operations, nbytes), device = self._moved(), self._device_count()
        cpu_ns: int | None = None
        with contextlib.suppress(DriverError):  # a server that is gone tells nothing more
            cpu_ns = self._server_cpu_ns()
        if before is not None:
            sent, received = sent - before.sent, received - before.received
            operations, nbytes = operations - before.moved[0], nbytes - before.moved[1]
            device -= before.devices
            figures = Figures(
                figures.operations - before.figures.operations,
                figures.requests - before.figures.requests,
                figures.coalesced - before.figures.coalesced,
            )
            kernel = None if kernel is None or before.kernel is None else kernel - before.kernel
            cpu_ns = None if cpu_ns is None else cpu_ns - before.server_cpu_ns
        socks = self._socks()
        return {
            "transport": self._settings.transport,
            "servers": len(self._fleet.endpoints),
            "connections_used": len(socks),
            "congestion_control": ", ".join(sorted({congestion_of(sock) for sock in socks})) or None,
            "interface": ", ".join(sorted({interface_of(sock) for sock in socks})) or None,
            "wire_operations": figures.requests,
            "merge_ratio": figures.operations / figures.requests if figures.requests else None,
            "coalesced_operations": figures.coalesced,
            "sent_bytes": sent,
            "received_bytes": received,
            "kernel_sent_bytes": None if kernel is None else kernel.acked_bytes,
            "kernel_received_bytes": None if kernel is None else kernel.received_bytes,
            "retransmitted_segments": None if kernel is None else kernel.retransmitted,
            "lane_moved_operations": operations,
            "lane_moved_bytes": nbytes,
            "devices": ", ".join(self._devices()) or None,
            "device_bytes": device.nbytes,
            "device_packets": device.packets,
            "server_cpu_ns": cpu_ns,
        }

    def _figures(self) -> Figures:
        total = Figures()
        for lane in self._lanes:
            total.operations += lane.figures.operations
            total.requests += lane.figures.requests
            total.coalesced += lane.figures.coalesced
        return total

    def _counted(self) -> tuple[int, int, Counted | None]:
        sent = received = 0
        total: Counted | None = Counted()
        for lane in self._lanes:
            more_sent, more_received, seen = lane.lines.counted()
            sent, received = sent + more_sent, received + more_received
            total = None if total is None or seen is None else total + seen
        return sent, received, total

    def _moved(self) -> tuple[int, int]:
        """Reads and writes of the servers' memory by the lanes, and their bytes."""
        each = [lane.lines.moved() for lane in self._lanes]
        return sum(operations for operations, _ in each), sum(nbytes for _, nbytes in each)

    def _devices(self) -> Sequence[str]:
        return () if self._fleet.engine is None else self._fleet.engine.devices

    def _device_count(self) -> engine.DeviceCount:
        return engine.counted(self._devices())

    def _server_cpu_ns(self) -> int:
        return sum(int(told.get("cpu_ns", 0)) for told in self._fleet.about())

    def _socks(self) -> list[socket.socket]:
        return [line.sock for lane in self._lanes for line in lane.lines.all if line.sock is not None]

    def path(self) -> PathReport:
        sent, received, kernel = self._counted()
        moved, where = sent + received, ", ".join(map(str, self._fleet.endpoints))
        socks = self._socks()
        if not moved or not socks:
            return PathReport("unknown", f"{where}: nothing has been moved yet")
        by = ", ".join(sorted({interface_of(sock) for sock in socks}))
        how = f"TCP connections of {by}"
        if kernel is None:
            return PathReport("unknown", f"{how}; the kernel does not say what it counted")
        # What is sent and not confirmed yet is missing in the kernel's count.
        seen = kernel.acked_bytes + kernel.received_bytes
        if abs(seen - moved) > max(1 << 16, _TOLERANCE * moved):
            return PathReport("mixed", f"{how}; TCP counted {seen / moved:.0%} of the bytes that we did")
        how = f"{how}; TCP counted the bytes that we did"
        return PathReport("tcp", how) if self._settings.transport == "tcp" else self._lent_path(how)

    def _lent_path(self, connections: str) -> PathReport:
        """Of bytes that the lanes moved themselves. What the connections carried beside them is known."""
        operations, nbytes = self._moved()
        lines = [line for lane in self._lanes for line in lane.lines.all if isinstance(line, LentLine)]
        known = "; ".join(sorted({line.reach.evidence for line in lines}))
        if not operations:
            return PathReport("unknown", f"{known}; nothing has been moved yet")
        how = f"the lanes moved the blocks: {known}; places and leases by {connections}"
        if self._settings.transport == "shm":
            return PathReport("shm", how)
        device = self._device_count() - self._at_first
        enough = device.at_least(int(nbytes * (1 - _TOLERANCE)))
        if enough is None:
            return PathReport("unknown", f"{how}; the devices do not count")
        if not device.nbytes and not device.packets:
            # To a server on the same machine a device may move bytes within itself.
            return PathReport("unknown", f"{how}; the devices counted none of it")
        if not enough:
            seen = f"{device.packets} packets" if device.nbytes is None else f"{device.nbytes} bytes"
            return PathReport("mixed", f"{how}; the devices counted {seen}, too little for {nbytes} bytes")
        what = "packets for these bytes" if device.nbytes is None else "these bytes"
        return PathReport("rdma", f"{how}; the devices counted {what}")

    def locate(self, key: int) -> str:
        if self._place is None:
            return f"block {key}"
        value = key // self._place.entry
        server = int(servers_of(np.array([value], np.uint64), self._place.servers)[0])
        said = self._complaint()
        return (
            f"block {key} (key {self._place.tag:016x}:{value}) on the memkv server {self._fleet.endpoints[server]}"
            + (f" [{said}]" if said else "")
        )

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        for lane in self._lanes:
            lane.close()
        if self._fleet.engine is not None:
            for address in self._registered:
                self._fleet.engine.unregister(address)
        if self._namespace is not None:
            self._fleet.leave(self._namespace)
        part_from(self._tier)
