"""CUDA's driver API through cuda-bindings: one GPU in this process.

Nothing is imported before a GPU is asked for, which only a worker and a probe's child do.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from kvscen.plugin import DriverError, Lost, Unavailable, show_bytes

LIBRARY = "libcuda.so.1"
INSTALL = "pip install 'kvscen[gpu]', or pip install cuda-bindings"
NO_DRIVER = "no NVIDIA driver on this machine: libcuda.so.1 is not found"
USE_ANOTHER = "run on a machine with an NVIDIA GPU; `nvidia-smi` shows whether there is one"

# Errors of a call, after which the GPU is as it was: numbers of CUresult. After any other one the process has lost it.
_NOT_READY, _INVALID_VALUE, _OUT_OF_MEMORY, _ALREADY_REGISTERED, _NOT_REGISTERED = 600, 1, 2, 712, 713
_HARMLESS = {_NOT_READY, _INVALID_VALUE, _OUT_OF_MEMORY, _ALREADY_REGISTERED, _NOT_REGISTERED}
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE: pinned for all contexts
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream

# The GPU whose context is the thread's: it is set only where it changes.
_here = threading.local()


def why_not() -> tuple[str, str] | None:
    """Why CUDA cannot be used from here, and a remedy; None where nothing speaks against it. Asks no GPU."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return NO_DRIVER, USE_ANOTHER
    try:
        found = importlib.util.find_spec("cuda.bindings.driver")
    except ImportError:
        found = None
    if found is None:
        return "the Python package cuda-bindings is not installed", INSTALL
    return None


def bindings() -> Any:
    """The module `cuda.bindings.driver`. Raises Unavailable."""
    reason = why_not()
    if reason is not None:
        raise Unavailable(*reason)
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise Unavailable(f"cuda-bindings cannot be imported: {error}", INSTALL) from error


class CudaError(Exception):
    """A call that failed: its name, the number and the name of its CUresult, and what CUDA says of it."""

    def __init__(self, call: str, number: int, name: str, text: str) -> None:
        super().__init__(f"{call} failed: {name}{f' ({text})' if text else ''}")
        self.number = number

    @property
    def harmless(self) -> bool:
        return self.number in _HARMLESS

    @property
    def out_of_memory(self) -> bool:
        return self.number == _OUT_OF_MEMORY


@attrs.frozen
class Card:
    """A GPU as CUDA shows it: its name, where it is ("0000:1b:00.0"), its memory."""

    name: str
    bus: str
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.name}, {show_bytes(self.memory_bytes)}, {self.bus}"


class Gpu:
    """A GPU and this process's context on it, kept until the process ends. Addresses are plain numbers.

    Every thread calls `enter` before anything else.
    """

    def __init__(self, api: Any, ordinal: int) -> None:
        """Raises CudaError, Unavailable."""
        self.api = api
        self._call("cuInit", 0)
        self.count = self._call("cuDeviceGetCount")
        if not 0 <= ordinal < self.count:
            raise Unavailable(
                f"there is no GPU {ordinal}: CUDA sees {self.count}",
                "set `device` below that; CUDA_VISIBLE_DEVICES may hide some" if self.count else USE_ANOTHER,
            )
        self.ordinal = ordinal
        self.name = self.card(ordinal).name
        version = self._call("cuDriverGetVersion")
        #: The newest CUDA that the installed driver knows: "13.0".
        self.cuda = f"{version // 1000}.{version % 1000 // 10}"
        self._context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", ordinal))
        self.enter()

    def _call(self, name: str, *arguments: Any) -> Any:
        """What the call returns beside its CUresult. Raises CudaError."""
        status, *rest = getattr(self.api, name)(*arguments)
        if int(status):
            raise self.error(name, status)
        return rest[0] if len(rest) == 1 else tuple(rest)

    def error(self, call: str, status: Any) -> CudaError:
        texts = []
        for ask in (self.api.cuGetErrorName, self.api.cuGetErrorString):
            failed, text = ask(status)
            texts.append(str(status) if int(failed) else text.decode(errors="replace"))
        return CudaError(call, int(status), texts[0], "" if texts[1] == texts[0] else texts[1])

    def enter(self) -> None:
        """Make the context the calling thread's."""
        if getattr(_here, "gpu", None) is not self:
            self._call("cuCtxSetCurrent", self._context)
            _here.gpu = self

    def card(self, ordinal: int) -> Card:
        """Any GPU of this machine."""
        device = self._call("cuDeviceGet", ordinal)
        name, bus = (
            self._call(call, 128, device).split(b"\0")[0].decode(errors="replace").strip()
            for call in ("cuDeviceGetName", "cuDeviceGetPCIBusId")
        )
        return Card(name, bus.lower(), int(self._call("cuDeviceTotalMem", device)))

    def memory(self) -> tuple[int, int]:
        """(free, total) bytes of the GPU's memory."""
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    # ---- memory

    def allocate(self, nbytes: int, what: str, remedy: str) -> int:
        """The address of `nbytes` of the GPU's memory. Raises DriverError where there is not enough: `what` for whom,
        `remedy` what to do."""
        free, total = self.memory()
        short = (
            f"{show_bytes(nbytes)} of {what} do not fit in the {show_bytes(free)} that are free of {show_bytes(total)}"
        )
        short += f" of GPU {self.ordinal}"
        if nbytes > free:
            raise DriverError(short, remedy)
        try:
            return int(self._call("cuMemAlloc", nbytes))
        except CudaError as error:
            if error.out_of_memory:
                raise DriverError(f"{short} in one piece", remedy) from error
            raise lost(self, error) from error

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def pin(self, address: int, nbytes: int) -> bool:
        """Pin host memory, so that the GPU copies by itself. False: somebody has pinned it before."""
        try:
            self._call("cuMemHostRegister", address, nbytes, _PORTABLE)
        except CudaError as error:
            if error.number == _ALREADY_REGISTERED:
                return False
            if error.harmless:
                raise DriverError(
                    f"{show_bytes(nbytes)} of buffers cannot be pinned: {error}",
                    "use fewer buffers (`depth`, `threads`) or smaller blocks",
                ) from error
            raise lost(self, error) from error
        return True

    def unpin(self, address: int) -> None:
        self._call("cuMemHostUnregister", address)

    def to_gpu(self, target: int, source: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._call("cuMemcpyHtoD", target, source.ctypes.data, source.nbytes)

    def to_host(self, target: np.ndarray[Any, np.dtype[np.uint8]], source: int) -> None:
        self._call("cuMemcpyDtoH", target.ctypes.data, source, target.nbytes)

    def within(self, target: int, source: int, nbytes: int) -> None:
        self._call("cuMemcpyDtoD", target, source, nbytes)
        self._call("cuCtxSynchronize")  # such a copy returns before it has ended

    def fill(self, address: int, nbytes: int, value: int) -> None:
        self._call("cuMemsetD8", address, value, nbytes)
        self._call("cuCtxSynchronize")

    # ---- streams and events

    def stream(self) -> Any:
        return self._call("cuStreamCreate", _NON_BLOCKING)

    def event(self) -> Any:
        return self._call("cuEventCreate", 0)

    def drop(self, streams: list[Any], events: list[Any]) -> None:
        for event in events:
            self._call("cuEventDestroy", event)
        for stream in streams:
            self._call("cuStreamDestroy", stream)


@functools.cache
def _opened(ordinal: int) -> Gpu:
    return Gpu(bindings(), ordinal)


def open_gpu(ordinal: int) -> Gpu:
    """The GPU of this number, current in this thread. Raises Unavailable where there is none, Lost where it failed."""
    try:
        gpu = _opened(ordinal)
    except CudaError as error:
        raise Unavailable(f"GPU {ordinal} cannot be used: {error}", "look at `nvidia-smi`") from error
    calling(gpu, gpu.enter)
    return gpu


def calling(gpu: Gpu, call: Callable[..., Any], *arguments: Any) -> Any:
    """`call(*arguments)`, where nothing is expected to fail. Raises Lost."""
    try:
        return call(*arguments)
    except CudaError as error:
        raise lost(gpu, error) from error


def lost(gpu: Gpu, error: CudaError) -> Lost:
    return Lost(
        f"GPU {gpu.ordinal} ({gpu.name}): {error}",
        "look at `nvidia-smi` and at Xid messages in the kernel's log; the next point gets a fresh process",
    )
