"""The driver `memory`: blocks in host memory, copied by the processor. The simplest tier."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import (
    READ,
    WRITE,
    Arena,
    Availability,
    Driver,
    DriverError,
    Finding,
    Footprint,
    Job,
    Lane,
    Layout,
    Limits,
    PathReport,
    Rows,
    Size,
    Store,
    ThreadLane,
    Tier,
    Work,
    available_bytes,
    host_arena,
    setting,
    show_bytes,
)
from kvscen_drivers.gpu import bounce
from kvscen_drivers.memory_ranks import RankStore

#: Operations that a lane accepts; it copies one after the other.
MAX_IN_FLIGHT = 128


@attrs.frozen
class MemorySettings:
    """Settings of a tier of the driver `memory`."""

    capacity_bytes: int | None = setting(
        Size(minimum=1), default=None, help="most bytes to keep; default: what the machine has free"
    )
    gpu: int | None = bounce.gpu_setting()


class _Blocks:
    """The memory of one tier in this worker, shared by the stores of all its points, which come and go: as large as the
    largest of them needs, given back with the last one."""

    def __init__(self) -> None:
        self.users = 0
        self.pages = "no"
        self.data = np.empty(0, np.uint8)
        self._arena: Arena | None = None

    def grow(self, nbytes: int) -> None:
        """What is held is kept. No operation is in flight. Raises DriverError."""
        if nbytes <= len(self.data):
            return
        try:
            larger = host_arena(nbytes)
        except DriverError as error:
            raise DriverError(str(error), "touch fewer keys (`working_set`), in fewer `processes`") from error
        np.copyto(larger.view[: len(self.data)], self.data)
        self.free()
        self._arena, self.data, self.pages = larger, larger.view, larger.pages

    def free(self) -> None:
        self.data = np.empty(0, np.uint8)
        if self._arena is not None:
            self._arena.close()
            self._arena = None


_blocks_of: dict[Tier, _Blocks] = {}


class MemoryStore(Store):
    """One point's view of its tier's blocks. A lane copies in the thread that reaps."""

    limits = Limits(alignment_bytes=1, max_in_flight=MAX_IN_FLIGHT)

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._layout = Layout(0, 0, 1)
        self._written = np.zeros(0, bool)
        self._blocks = _blocks_of.setdefault(tier, _Blocks())
        self._blocks.users += 1
        self._open = True

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def prepare(self, layout: Layout) -> Sequence[int]:
        """What this store has written is kept while its layout stays the same."""
        if layout != self._layout:
            total = max(layout.keys, layout.total_keys) * layout.stride_bytes
            capacity = self._tier.settings.capacity_bytes
            if capacity is not None and total > capacity:
                raise DriverError(
                    f"tier `{self._tier.name}`: {show_bytes(total)} of blocks do not fit in its capacity of "
                    f"{show_bytes(capacity)}",
                    "give it a larger `capacity` or touch fewer keys (`working_set`)",
                )
            self._blocks.grow(layout.keys * layout.stride_bytes)
            self._layout = layout
            self._written = np.zeros(layout.keys, bool)
        missing: npt.NDArray[np.int64] = np.flatnonzero(~self._written) + layout.first_key
        return missing  # type: ignore[return-value]  # an array is a sequence of ints to its readers

    def lane(self, index: int, arena: Arena) -> Lane:
        return MemoryLane(self, arena)

    def place(self, key: int, offset: int, nbytes: int) -> tuple[int, int] | None:
        """(slot, first byte) of a part of a block; None outside the layout."""
        slot = key - self._layout.first_key
        if not 0 <= slot < self._layout.keys or offset + nbytes > self._layout.stride_bytes:
            return None
        return slot, slot * self._layout.stride_bytes + offset

    def read(self, slot: int, first: int, view: npt.NDArray[np.uint8]) -> int:
        """Raises OSError (ENODATA) for a block that was never written."""
        if not self._written[slot]:
            raise OSError(errno.ENODATA, "never written")
        np.copyto(view, self._blocks.data[first : first + len(view)])
        return len(view)

    def write(self, slot: int, first: int, view: npt.NDArray[np.uint8]) -> int:
        np.copyto(self._blocks.data[first : first + len(view)], view)
        self._written[slot] = True
        return len(view)

    def path(self) -> PathReport:
        return PathReport("memory", f"copied by the processor within host memory ({self._blocks.pages} pages)")

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._layout = Layout(0, 0, 1)
        self._blocks.users -= 1
        if not self._blocks.users:
            self._blocks.free()
            del _blocks_of[self._tier]


class MemoryLane(ThreadLane):
    """Copies one block after the other in the thread that reaps."""

    def __init__(self, store: MemoryStore, arena: Arena) -> None:
        super().__init__(None, arena, MAX_IN_FLIGHT, store.clock, threads=1)
        self._blocks = store

    def jobs(self, ops: Rows, submitted: int | None) -> Iterable[Job]:
        view, blocks = self._view, self._blocks
        # Numbers of Python's own: looking into a row of an array costs as much as copying a few KiB.
        for number, key, offset, nbytes, buffer, _, _, _, kind, _ in ops.tolist():
            place = blocks.place(key, offset, nbytes)
            if place is None or buffer + nbytes > len(view):
                yield number, submitted, nbytes, _refuse, (errno.EINVAL, "outside the layout")
            elif kind == READ:
                yield number, submitted, nbytes, blocks.read, (*place, view[buffer : buffer + nbytes])
            elif kind == WRITE:
                yield number, submitted, nbytes, blocks.write, (*place, view[buffer : buffer + nbytes])
            else:
                yield number, submitted, nbytes, _refuse, (errno.EOPNOTSUPP, "only reads and writes")


def _refuse(code: int, why: str) -> int:
    raise OSError(code, why)


class MemoryDriver(Driver):
    """Blocks in host memory."""

    name = "memory"
    summary = "Blocks in host memory, copied by the processor."
    settings = MemorySettings
    memory = frozenset({"dram", "vram"})
    measures = bounce.MEASURES
    ranks = True

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        capacity = tier.settings.capacity_bytes
        if capacity is not None and work.working_set_bytes > capacity:
            yield Finding(
                "KVS311",
                f"the pattern touches {show_bytes(work.working_set_bytes)}, which do not fit in the tier's "
                f"{show_bytes(capacity)}",
                "capacity",
                help="give the tier a larger `capacity` or the pattern a smaller `working_set`",
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        if work.traffic is not None:
            return Footprint(memory_bytes=work.traffic.memory_bytes)
        lanes = work.threads * work.processes
        return Footprint(
            memory_bytes=(work.keys + lanes * bounce.lane_buffers(work, work.block_bytes, MAX_IN_FLIGHT))
            * work.block_bytes
        )

    def probe(self, tier: Tier | None) -> Availability:
        free = available_bytes()
        return Availability(True, facts={} if free is None else {"free memory": show_bytes(free)})

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        if work.traffic is not None:
            return RankStore(tier)
        return bounce.through_host(tier.settings.gpu, work, lambda _: MemoryStore(tier))
