"""A stand-in for `cuda.bindings.driver`: host memory plays the GPU's. It exercises the driver's logic where there is no
GPU; what it measures means nothing, and no run can use it."""

from __future__ import annotations

import ctypes
import enum
import itertools
import threading
from collections import deque


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_ECC_UNCORRECTABLE = 214
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712
    CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713
    CUDA_ERROR_LAUNCH_FAILED = 719


OK = CUresult.CUDA_SUCCESS
INVALID = CUresult.CUDA_ERROR_INVALID_VALUE


class _Event:
    def __init__(self) -> None:
        self.stream: deque | None = None
        self.done = True
        self.time_ms = 0.0


class StandIn:
    """The calls that the driver makes, with the results that CUDA gives. `copies_a_look` copies end at each look at an
    event; `fail(call, after, status)` lets a call fail from then on, as a GPU that was lost does."""

    def __init__(self, gpus: int = 1, memory_bytes: int = 64 << 20, copies_a_look: int = 1) -> None:
        self.gpus, self.total = gpus, memory_bytes
        self.copies_a_look = copies_a_look
        self.allocated: dict[int, ctypes.Array] = {}
        self.pinned: dict[int, int] = {}
        self._host: list[ctypes.Array] = []
        self.streams: list[deque] = []
        self.events = 0
        self.calls: dict[str, int] = {}
        self._faults: dict[str, tuple[int, CUresult]] = {}
        self._current = threading.local()
        self._ticks = itertools.count(1)
        self._lock = threading.RLock()

    def fail(self, call: str, after: int, status: CUresult) -> None:
        self._faults[call] = (self.calls.get(call, 0) + after, status)

    def __getattribute__(self, name: str):
        found = object.__getattribute__(self, name)
        if not name.startswith("cu"):
            return found

        def call(*arguments):
            with self._lock:
                self.calls[name] = self.calls.get(name, 0) + 1
                after, status = self._faults.get(name, (2**62, OK))
                if self.calls[name] > after:
                    return (status, None)[: 2 if name in _GIVES else 1]
                if name in _NEEDS_CONTEXT and not getattr(self._current, "context", None):
                    return (CUresult.CUDA_ERROR_INVALID_CONTEXT, None)[: 2 if name in _GIVES else 1]
                return found(*arguments)

        return call

    # ---- about the machine

    def cuInit(self, flags):
        return (OK if self.gpus else CUresult.CUDA_ERROR_NO_DEVICE,)

    def cuDeviceGetCount(self):
        return OK, self.gpus

    def cuDeviceGet(self, ordinal):
        return (OK, ordinal) if ordinal < self.gpus else (INVALID, None)

    def cuDeviceGetName(self, length, device):
        return OK, b"Stand-in".ljust(length, b"\0")

    def cuDeviceGetPCIBusId(self, length, device):
        return OK, f"0000:{device:02X}:00.0".encode().ljust(length, b"\0")

    def cuDeviceTotalMem(self, device):
        return OK, self.total

    def cuDriverGetVersion(self):
        return OK, 13000

    def cuGetErrorName(self, status):
        return OK, CUresult(status).name.encode()

    def cuGetErrorString(self, status):
        return OK, b"what CUDA says of it"

    def cuDevicePrimaryCtxRetain(self, device):
        return OK, f"context {device}"

    def cuCtxSetCurrent(self, context):
        self._current.context = context
        return (OK,)

    def cuCtxSynchronize(self):
        for stream in self.streams:
            self._advance(stream, 2**62)
        return (OK,)

    # ---- memory

    def _free(self):
        return self.total - sum(len(memory) for memory in self.allocated.values())

    def cuMemGetInfo(self):
        return OK, self._free(), self.total

    def cuMemAlloc(self, nbytes):
        if nbytes > self._free():
            return CUresult.CUDA_ERROR_OUT_OF_MEMORY, None
        memory = (ctypes.c_uint8 * nbytes)()
        address = ctypes.addressof(memory)
        self.allocated[address] = memory
        return OK, address

    def cuMemFree(self, address):
        return (OK if self.allocated.pop(address, None) is not None else INVALID,)

    def cuMemHostRegister(self, address, nbytes, flags):
        if address in self.pinned:
            return (CUresult.CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,)
        self.pinned[address] = nbytes
        return (OK,)

    def cuMemHostAlloc(self, nbytes, flags):
        """For the plain loops of benchmarks/."""
        memory = (ctypes.c_uint8 * nbytes)()
        self.pinned[ctypes.addressof(memory)] = nbytes
        self._host.append(memory)
        return OK, ctypes.addressof(memory)

    def cuMemFreeHost(self, address):
        return self.cuMemHostUnregister(address)

    def cuMemHostUnregister(self, address):
        known = self.pinned.pop(address, None)
        return (OK if known is not None else CUresult.CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,)

    def _reachable(self, address, nbytes, *places):
        return any(first <= address and address + nbytes <= first + length for first, length in places)

    def _known(self, address, nbytes):
        on_gpu = ((first, len(memory)) for first, memory in self.allocated.items())
        return self._reachable(address, nbytes, *on_gpu, *self.pinned.items())

    def _copy(self, target, source, nbytes):
        ctypes.memmove(target, source, nbytes)
        return (OK,)

    cuMemcpyHtoD = cuMemcpyDtoH = cuMemcpyDtoD = _copy

    def cuMemsetD8(self, address, value, nbytes):
        ctypes.memset(address, value, nbytes)
        return (OK,)

    # ---- streams and events

    def cuStreamCreate(self, flags):
        self.streams.append(deque())
        return OK, len(self.streams) - 1

    def cuStreamDestroy(self, stream):
        return (OK,)

    def cuEventCreate(self, flags):
        self.events += 1
        return OK, _Event()

    def cuEventDestroy(self, event):
        self.events -= 1
        return (OK,)

    def cuMemcpyAsync(self, target, source, nbytes, stream):
        if not (self._known(target, nbytes) and self._known(source, nbytes)):
            return (CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
        self.streams[stream].append((target, source, nbytes))
        return (OK,)

    def cuEventRecord(self, event, stream):
        event.stream, event.done = self.streams[stream], False
        event.stream.append(event)
        return (OK,)

    def cuEventQuery(self, event):
        if not event.done:
            self._advance(event.stream, self.copies_a_look)
        return (OK if event.done else CUresult.CUDA_ERROR_NOT_READY,)

    def cuEventSynchronize(self, event):
        while self.cuEventQuery(event)[0]:
            pass
        return (OK,)

    def cuEventElapsedTime(self, begin, end):
        if not (begin.done and end.done):
            return CUresult.CUDA_ERROR_NOT_READY, None
        return OK, end.time_ms - begin.time_ms

    def _advance(self, stream, copies):
        """Do the next commands of a stream, up to so many copies and the events behind them."""
        while stream and (copies or isinstance(stream[0], _Event)):
            command = stream.popleft()
            if isinstance(command, _Event):
                command.done, command.time_ms = True, next(self._ticks) / 1000
            else:
                copies -= 1
                command() if callable(command) else self._copy(*command)


_GIVES = {
    "cuDeviceGetCount",
    "cuMemAlloc",
    "cuStreamCreate",
    "cuEventCreate",
    "cuEventElapsedTime",
    "cuDevicePrimaryCtxRetain",
}
_NEEDS_CONTEXT = {
    *("cuMemAlloc", "cuMemFree", "cuMemHostRegister", "cuMemHostUnregister", "cuMemcpyHtoD", "cuMemcpyDtoH"),
    *("cuMemcpyDtoD", "cuMemsetD8", "cuStreamCreate", "cuEventCreate", "cuMemcpyAsync", "cuEventRecord"),
    *("cuEventQuery", "cuEventElapsedTime"),
}
