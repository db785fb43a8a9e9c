"""The blocks of a tier in a GPU's memory."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kvscen.plugin import READ, WRITE, Layout, Tier
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling


class _Memory:
    """What the stores of a tier share in this worker, which come and go: as large as the largest of them needs, given
    back with the last one."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.users = 0
        self.nbytes = 0
        self.address = 0

    def grow(self, nbytes: int) -> None:
        """What is held is kept. No copy is in flight. Raises DriverError."""
        if nbytes <= self.nbytes:
            return
        larger = self._gpu.allocate(nbytes, "blocks", "touch fewer keys (`working_set`), in fewer `processes`")
        if self.nbytes:
            calling(self._gpu, self._gpu.within, larger, self.address, self.nbytes)
            calling(self._gpu, self._gpu.free, self.address)
        self.address, self.nbytes = larger, nbytes

    def free(self) -> None:
        if self.nbytes:
            self.nbytes = 0
            with contextlib.suppress(CudaError):  # of a GPU that was lost
                self._gpu.enter()
                self._gpu.free(self.address)


_memory_of: dict[Tier, _Memory] = {}


class Blocks:
    """One point's view of them."""

    def __init__(self, gpu: Gpu, tier: Tier) -> None:
        self._tier = tier
        self._memory = _memory_of.setdefault(tier, _Memory(gpu))
        self._memory.users += 1
        self._layout = Layout(0, 0, 1)
        self._held = bytearray()

    def prepare(self, layout: Layout) -> Sequence[int]:
        """What was written is kept while the layout stays the same. Raises DriverError."""
        if layout != self._layout:
            self._memory.grow(layout.keys * layout.stride_bytes)
            self._layout = layout
            self._held = bytearray(layout.keys)
        missing: npt.NDArray[np.int64] = np.flatnonzero(~np.frombuffer(self._held, bool)) + layout.first_key
        return missing  # type: ignore[return-value]  # an array is a sequence of ints to its readers

    def find(self, key: int, offset: int, nbytes: int, kind: int) -> int:
        """The address of a range of a block; less than 0, a negative errno, where it cannot be read or written."""
        layout = self._layout
        slot = key - layout.first_key
        if not 0 <= slot < layout.keys or offset + nbytes > layout.stride_bytes:
            return -errno.EINVAL
        if kind > WRITE:
            return -errno.EOPNOTSUPP
        if kind == READ and not self._held[slot]:
            return -errno.ENODATA
        return self._memory.address + slot * layout.stride_bytes + offset

    def written(self, key: int) -> None:
        self._held[key - self._layout.first_key] = 1

    def close(self) -> None:
        self._layout = Layout(0, 0, 1)
        self._memory.users -= 1
        if not self._memory.users:
            self._memory.free()
            del _memory_of[self._tier]
