"""Ranks on one machine that write to each other's memory: what the driver `memory` does for a `matrix`.

The memory of a rank that others write to is shared, and the processor of the sender copies into it. That is the least
that moving bytes between processes of a machine can cost, and what a network library may be held against.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kvscen.plugin import (
    WRITE,
    Arena,
    DriverError,
    Inbox,
    Lane,
    Limits,
    PathReport,
    Store,
    ThreadLane,
    Tier,
    available_bytes,
    host_arena,
    show_bytes,
)

_MAX_IN_FLIGHT = 1024


class SharedArena(Arena):
    """Memory that other processes can open at `path` while this arena is open."""

    pages = "shared"

    def __init__(self, nbytes: int) -> None:
        free = available_bytes()
        if free is not None and nbytes > free:
            raise DriverError(f"{show_bytes(nbytes)} do not fit in the {show_bytes(free)} of free memory")
        self._descriptor = os.memfd_create("kvscen-inbox")
        try:
            os.ftruncate(self._descriptor, nbytes)
            self._mapping = mmap.mmap(self._descriptor, nbytes)
        except OSError as error:
            os.close(self._descriptor)
            raise DriverError(f"the kernel refuses {show_bytes(nbytes)} of memory: {error.strerror}") from error
        self.view = np.frombuffer(self._mapping, np.uint8)
        self.view[:: mmap.PAGESIZE] = 0
        self.address = int(self.view.ctypes.data)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def close(self) -> None:
        self.view = np.empty(0, np.uint8)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RankStore(Store):
    limits = Limits(max_in_flight=_MAX_IN_FLIGHT)

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._inboxes: list[npt.NDArray[np.uint8]] = []

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def lane(self, index: int, arena: Arena) -> Lane:
        return ThreadLane(self, arena, _MAX_IN_FLIGHT, self.clock, threads=1)

    def offer(self, nbytes: int) -> Inbox:
        arena = SharedArena(nbytes)
        return Inbox(arena, json.dumps([arena.path, nbytes]).encode())

    def meet(self, cards: Sequence[bytes]) -> None:
        self._inboxes = [self._open(rank, *json.loads(card)) for rank, card in enumerate(cards)]

    def _open(self, rank: int, path: str, nbytes: int) -> npt.NDArray[np.uint8]:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DriverError(
                f"tier `{self._tier.name}`: the memory of rank {rank} cannot be opened: {error.strerror}",
                "look into the log of that worker",
            ) from error
        try:
            mapping = mmap.mmap(descriptor, nbytes)
        finally:
            os.close(descriptor)
        view = np.frombuffer(mapping, np.uint8)
        int(view[:: mmap.PAGESIZE].sum())  # touched: the first transfer is not the one that pays for the page tables
        return view

    def transfer(self, op: np.void, view: npt.NDArray[np.uint8]) -> int:
        """Copy to the memory of another rank. Raises OSError: EINVAL outside of it."""
        rank, offset, nbytes = int(op["key"]), int(op["offset"]), int(op["bytes"])
        if rank >= len(self._inboxes) or op["kind"] != WRITE or len(view) != nbytes:
            raise OSError(errno.EINVAL, "no write to a rank")
        place = self._inboxes[rank][offset : offset + nbytes]
        if len(place) != nbytes:
            raise OSError(errno.EINVAL, "outside the memory of the rank")
        np.copyto(place, view)
        return nbytes

    def path(self) -> PathReport:
        return PathReport("shm", "copied by the sender's processor to memory that the receiver shares")

    def locate(self, key: int) -> str:
        return f"the memory of rank {key}"

    def close(self) -> None:
        self._inboxes = []
