"""Mooncake's transfer engine, for the transport `rdma`: which devices there are, what they have counted, and one-sided
reads and writes of another process's registered memory.

It is imported by whoever uses it: it loads a hundred megabytes and starts threads.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from kvscen.plugin import DriverError, Unavailable, show_bytes
from kvscen_drivers.mooncake import wheel

_DEVICES = Path("/sys/class/infiniband")
#: The most bytes of a value in one packet of RoCE or InfiniBand (the largest MTU).
_MOST_IN_PACKET = 4096
#: Files of a port (bytes are counted in words of four) or of its driver, and what a unit of them is.
_BYTES = {"port_xmit_data": 4, "port_rcv_data": 4}
_PACKETS = ("port_xmit_packets", "port_rcv_packets")
_PACKETS_OF_SOFT_ROCE = ("sent_pkts", "rcvd_pkts")


@attrs.frozen
class Device:
    """An RDMA device of this machine; `active`: one of its ports has a link."""

    name: str
    active: bool


def devices() -> list[Device]:
    found = []
    with contextlib.suppress(OSError):
        for device in sorted(_DEVICES.iterdir()):
            states = [_read(state) for state in device.glob("ports/*/state")]
            found.append(Device(device.name, any("ACTIVE" in state for state in states)))
    return found


def why_not(wanted: Sequence[str]) -> tuple[str, str]:
    """Why these devices (any, where none is named) cannot be used here, and what to do; ("", "") where they can."""
    reason, remedy = wheel.why_not("mooncake.engine")
    if reason:
        return reason, remedy
    there = {device.name: device for device in devices()}
    if not there:
        return "this machine has no RDMA device", "use `transport = tcp`, or set a device up (`rdma link` shows them)"
    for name in wanted:
        if name not in there:
            return f"this machine has no RDMA device `{name}`", f"it has {', '.join(there)}"
        if not there[name].active:
            return f"no port of the RDMA device `{name}` has a link", "see `rdma link`"
    if not any(device.active for device in there.values()):
        return f"no port of {', '.join(there)} has a link", "see `rdma link`"
    return "", ""


@attrs.frozen
class DeviceCount:
    """What devices have sent and received since they are there, of all programs; None where they do not say."""

    nbytes: int | None = None
    packets: int | None = None

    def __sub__(self, other: DeviceCount) -> DeviceCount:
        return DeviceCount(_minus(self.nbytes, other.nbytes), _minus(self.packets, other.packets))

    def at_least(self, nbytes: int) -> bool | None:
        """Whether so many bytes may have been among it. None where nothing was counted."""
        if self.nbytes is not None:
            return self.nbytes >= nbytes
        return None if self.packets is None else self.packets * _MOST_IN_PACKET >= nbytes


def counted(names: Sequence[str]) -> DeviceCount:
    nbytes: int | None = None
    packets: int | None = None
    for port in (port for name in names for port in (_DEVICES / name).glob("ports/*")):
        for file, unit in _BYTES.items():
            words = _number(port / "counters" / file)
            nbytes = nbytes if words is None else (nbytes or 0) + words * unit
        for file in _PACKETS:
            packets = _plus(packets, _number(port / "counters" / file))
        for file in _PACKETS_OF_SOFT_ROCE:
            packets = _plus(packets, _number(port / "hw_counters" / file))
    return DeviceCount(nbytes, packets)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _plus(one: int | None, other: int | None) -> int | None:
    return one if other is None else (one or 0) + other


def _minus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other


class Engine:
    """A transfer engine of this process, which others reach by `segment` ("host:port"). It remembers what it was told
    of other segments: one for each set of servers, since a new server may have the port of one that is gone."""

    def __init__(self, host: str, names: Sequence[str], gid_index: int | None) -> None:
        """`host`: the address that others reach it by. Raises Unavailable, DriverError."""
        if gid_index is not None:
            os.environ["MC_GID_INDEX"] = str(gid_index)  # Mooncake looks at it while it is imported
        reason, remedy = why_not(names)
        if reason:
            raise Unavailable(reason, remedy)
        # Without a device of those that are named it would silently use TCP: so what it uses is always named.
        self.devices = list(names) or [device.name for device in devices() if device.active]
        self._registered: Counter[int] = Counter()
        self._api: Any = importlib.import_module("mooncake.engine").TransferEngine()
        if self._api.initialize(host, "P2PHANDSHAKE", "rdma", ",".join(self.devices)):
            raise DriverError(
                f"Mooncake's transfer engine does not start on {', '.join(self.devices)}",
                "see its messages in the log; for RoCE set `gid_index`",
            )
        self.segment = f"{host}:{self._api.get_rpc_port()}"

    def register(self, address: int, nbytes: int) -> None:
        """Memory that transfers here may read and write. Raises DriverError."""
        if not self._registered[address] and self._api.register_memory(address, nbytes):
            raise DriverError(
                f"{', '.join(self.devices)} does not register {show_bytes(nbytes)} of memory",
                "use less of it, or raise the limit of locked memory (`ulimit -l unlimited`)",
            )
        self._registered[address] += 1

    def unregister(self, address: int) -> None:
        self._registered[address] -= 1
        if not self._registered[address]:
            del self._registered[address]
            self._api.unregister_memory(address)

    def start(self, write: bool, segment: str, here: int, there: int, nbytes: int) -> int:
        """A one-sided transfer between these addresses; 0 where it did not start. Ask `ended` until it has."""
        begin = self._api.batch_transfer_async_write if write else self._api.batch_transfer_async_read
        ticket: int = begin(segment, [here], [there], [nbytes])
        return ticket

    def ended(self, ticket: int) -> bool | None:
        """Whether it went well; None while it goes on. A ticket that has ended must not be asked for again."""
        state: int = self._api.transfer_check_status(ticket)
        return None if state in (0, -2) else state > 0

    def close(self) -> None:
        """Nothing is under way. What was registered is so no more."""
        self._api = None
