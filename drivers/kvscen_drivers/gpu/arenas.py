"""Buffers for copies from and to a GPU: host memory that is pinned, or the GPU's own.

They are kept in step with whoever else must know of them (cuFile): `before_close` is called before the memory goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kvscen.plugin import Arena, host_arena
from kvscen_drivers.gpu.cuda import CudaError, Gpu, calling

#: A page of the GPU's memory: what other devices reach of it is mapped in such pages.
_GRAIN = 64 << 10
_REMEDY = "use a smaller `depth`, fewer `threads`, or a smaller block"


class PinnedArena(Arena):
    """Host memory, in huge pages where the kernel gives them, pinned."""

    def __init__(self, gpu: Gpu, nbytes: int, before_close: Callable[[Arena], None] | None) -> None:
        """Raises DriverError."""
        self._before_close = before_close
        self._host = host_arena(nbytes)
        self._gpu = gpu
        self.view, self.address = self._host.view, self._host.address
        self.pages = f"pinned, {self._host.pages}"
        try:
            gpu.pin(self.address, nbytes)
        except BaseException:
            self._host.close()
            raise
        self._pinned = True

    def close(self) -> None:
        if self._pinned:
            self._pinned = False
            if self._before_close is not None:
                self._before_close(self)
            self.view = np.empty(0, np.uint8)
            with contextlib.suppress(CudaError):  # of a GPU that was lost
                self._gpu.enter()
                self._gpu.unpin(self.address)
            self._host.close()


class DeviceArena(Arena):
    """Memory of the GPU. The processor reaches it through copies alone."""

    pages = "GPU memory"

    def __init__(self, gpu: Gpu, nbytes: int, before_close: Callable[[Arena], None] | None) -> None:
        """Raises DriverError."""
        self._gpu, self._nbytes, self._before_close = gpu, nbytes, before_close
        self.view = np.empty(0, np.uint8)
        self._memory = gpu.allocate(nbytes + _GRAIN, "buffers", _REMEDY)
        self.address = -(-self._memory // _GRAIN) * _GRAIN

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def put(self, first: int, nbytes: int, data: npt.NDArray[np.uint8] | int) -> None:
        self._inside(first, nbytes)
        calling(self._gpu, self._gpu.enter)
        if isinstance(data, int):
            calling(self._gpu, self._gpu.fill, self.address + first, nbytes, data)
        else:
            assert data.nbytes == nbytes
            calling(self._gpu, self._gpu.to_gpu, self.address + first, np.ascontiguousarray(data))

    def get(self, first: int, nbytes: int) -> npt.NDArray[np.uint8]:
        self._inside(first, nbytes)
        copy = np.empty(nbytes, np.uint8)
        calling(self._gpu, self._gpu.enter)
        calling(self._gpu, self._gpu.to_host, copy, self.address + first)
        return copy

    def _inside(self, first: int, nbytes: int) -> None:
        if not 0 <= first <= first + nbytes <= self._nbytes:
            raise ValueError(f"bytes {first} to {first + nbytes} of {self._nbytes}")

    def close(self) -> None:
        if self._nbytes:
            if self._before_close is not None:
                self._before_close(self)
            self._nbytes = 0
            with contextlib.suppress(CudaError):  # of a GPU that was lost
                self._gpu.enter()
                self._gpu.free(self._memory)


def make_arena(
    gpu: Gpu, nbytes: int, memory: str, before_close: Callable[[Arena], None] | None = None
) -> PinnedArena | DeviceArena:
    """Raises DriverError where there is not enough memory."""
    return (DeviceArena if memory == "vram" else PinnedArena)(gpu, nbytes, before_close)
