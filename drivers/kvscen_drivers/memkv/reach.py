"""How a client moves bytes between its buffers and a server's memory by itself: through a mapping of it on the same
host, or by one-sided reads and writes of an RDMA device."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from kvscen.plugin import DriverError, Unavailable
from kvscen_drivers.memkv.client import Endpoint
from kvscen_drivers.memkv.engine import Engine

#: Below this a copy is shorter than letting other threads run meanwhile.
_SMALL_BYTES = 32 << 10


class Failed(Exception):
    """A transfer did not go well."""


class Reach(Protocol):
    """A server's memory, of `nbytes`. `evidence` says how it is known whose it is."""

    nbytes: int
    evidence: str

    def start(self, write: bool, first: int, views: Sequence[memoryview], tickets: list[int]) -> None:
        """Bytes from `first` on go to the views, or come from them, one after the other. What is still on its way then
        is added to `tickets`, of which `ended` is to be asked. Raises Failed."""
        ...

    def ended(self, ticket: int) -> bool:
        """Whether it has ended; it is not asked again then. Raises Failed, with which it has."""
        ...

    def close(self) -> None: ...


class Mapped:
    """The memory of a server on this machine."""

    def __init__(self, endpoint: Endpoint, told: Mapping[str, object]) -> None:
        """Raises Unavailable."""
        pid, name = told["pid"], told["name"]
        try:
            file = os.open(f"/proc/{pid}/fd/{told['descriptor']}", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(
                f"the memory of the memkv server {endpoint}, process {pid}, cannot be opened: {error.strerror}",
                "run both on one machine, as the same user and in the same PID namespace, or use `transport = tcp`",
            ) from error
        try:
            if str(Path(f"/proc/self/fd/{file}").readlink()).partition(" ")[0] != f"/memfd:{name}":
                raise Unavailable(
                    f"the memory of the memkv server {endpoint} is not on this machine: its process {pid} is another "
                    "one here",
                    "run both on one machine and in the same PID namespace, or use `transport = tcp`",
                )
            self.nbytes = os.fstat(file).st_size
            self._mapping = mmap.mmap(file, self.nbytes)
        except OSError as error:
            raise Unavailable(
                f"the memory of the memkv server {endpoint} cannot be mapped: {error.strerror}"
            ) from error
        finally:
            os.close(file)
        self._view = memoryview(self._mapping)
        self._bytes = np.frombuffer(self._mapping, np.uint8)
        self.evidence = f"the memory of process {pid} is mapped, its name {name} was told by the server"

    def start(self, write: bool, first: int, views: Sequence[memoryview], tickets: list[int]) -> None:
        for view in views:
            last = first + len(view)
            if len(view) <= _SMALL_BYTES:
                if write:
                    self._view[first:last] = view
                else:
                    view[:] = self._view[first:last]
            elif write:
                self._bytes[first:last] = np.frombuffer(view, np.uint8)
            else:
                np.frombuffer(view, np.uint8)[:] = self._bytes[first:last]
            first = last

    def ended(self, ticket: int) -> bool:
        raise AssertionError("a copy has ended when it has begun")

    def close(self) -> None:
        """The mapping goes with the last array of it."""


class Remote:
    """The memory of a server that RDMA devices reach."""

    def __init__(self, engine: Engine, told: Mapping[str, object]) -> None:
        address, nbytes = told["address"], told["bytes"]
        assert isinstance(address, int) and isinstance(nbytes, int)
        self._engine, self._address, self.nbytes = engine, address, nbytes
        self._segment = str(told["segment"])
        self.evidence = f"{', '.join(engine.devices)} here, {told['devices']} there ({self._segment})"

    def start(self, write: bool, first: int, views: Sequence[memoryview], tickets: list[int]) -> None:
        for view in views:
            if not len(view):
                continue
            here = int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
            ticket = self._engine.start(write, self._segment, here, self._address + first, len(view))
            if not ticket:
                raise Failed("the RDMA device does not take a transfer")
            tickets.append(ticket)
            first += len(view)

    def ended(self, ticket: int) -> bool:
        went_well = self._engine.ended(ticket)
        if went_well is False:
            raise Failed("an RDMA transfer failed")
        return went_well is not None

    def close(self) -> None:
        """The engine is the fleet's."""


def reach(transport: str, endpoint: Endpoint, about: Mapping[str, object], engine: Engine | None) -> Reach:
    """The memory of the server that tells this about itself. Raises Unavailable, DriverError."""
    offered = about.get("transports")
    try:
        told: Mapping[str, object] = offered[transport]  # type: ignore[index]
        if transport == "shm":
            return Mapped(endpoint, told)
        assert engine is not None
        return Remote(engine, told)
    except (TypeError, KeyError, AssertionError) as error:
        raise DriverError(
            f"the memkv server {endpoint} does not tell where its memory is", "look whether it is one, of this version"
        ) from error
