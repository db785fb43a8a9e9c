"""A stand-in for `cuda.bindings.cufile`: `pread` and `pwrite` play cuFile. It exercises the driver's logic where there
is no GPU; what it measures means nothing, and no run can use it. What is exchanged is laid out as by bindings 13.2.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
import os
import threading
from collections import deque
from pathlib import Path

import numpy as np

from tests.drivers.gpu.standin import StandIn

_place = np.dtype([("dev_ptr_base", "<i8"), ("file_offset", "<i8"), ("dev_ptr_offset", "<i8"), ("size_", "<u8")])
_gpu = np.dtype([(f"n_{way}_{what}", "<u8") for what in ("reads", "writes") for way in ("p2p", "nvfs", "posix")])
_count = np.dtype([("ok", "<u8"), ("err", "<u8")])
_basic = np.dtype(
    [
        (name, _count)
        for name in (
            *("read_ops", "write_ops", "batch_total_submit_ops", "batch_p2p_submit_ops", "batch_nvfs_submit_ops"),
            *("batch_posix_enqueued_ops", "batch_posix_processed_ops"),
        )
    ]
)


class _Parameter(enum.IntEnum):
    EXECUTION_MAX_IO_QUEUE_DEPTH = 1
    PROPERTIES_MAX_DEVICE_CACHE_SIZE_KB = 6
    PROPERTIES_PER_BUFFER_CACHE_SIZE_KB = 7
    PROPERTIES_IO_BATCHSIZE = 9


class _Switch(enum.IntEnum):
    PROPERTIES_ALLOW_COMPAT_MODE = 1


class CuFileError(Exception):
    pass


class StandInCuFile:
    """The calls that the driver makes. `way` is what the statistics call the way that operations take; `each_look`
    entries of a batch end at each look. `spoil` maps an operation's number (from 0) to (status, bytes moved). `rooms`
    are the bounce buffers: a submission that finds none waits for ever, as before cuFile 1.18 in compat mode."""

    BoolConfigParameter, SizeTConfigParameter = _Switch, _Parameter
    io_params_dtype = np.dtype(
        {
            "names": ["mode", "u", "fh", "opcode", "cookie"],
            "formats": ["<i4", [("batch", _place)], "<i8", "<i4", "<i8"],
            "offsets": [0, 8, 40, 48, 56],
            "itemsize": 64,
        }
    )
    io_events_dtype = np.dtype(
        {
            "names": ["cookie", "status", "ret"],
            "formats": ["<i8", "<i4", "<u8"],
            "offsets": [0, 8, 16],
            "itemsize": 24,
        }
    )
    descr_dtype = np.dtype(
        {
            "names": ["type", "handle", "fs_ops"],
            "formats": ["<i4", {"names": ["fd"], "formats": ["<i4"], "offsets": [0], "itemsize": 8}, "<i8"],
            "offsets": [0, 8, 16],
            "itemsize": 24,
        }
    )
    stats_level3_dtype = np.dtype(
        [("detailed", [("basic", _basic)]), ("num_gpus", "<u4"), ("per_gpu_stats", _gpu, (16,))]
    )

    def __init__(self, cuda: StandIn, version: int = 1170, way: str = "posix") -> None:
        self.cuda, self.version, self.way = cuda, version, way
        self.streams: dict[int, int] = {}
        self.parameters = {int(_Parameter.PROPERTIES_IO_BATCHSIZE): 128}
        self.pool = ((4096, 128), (1 << 20, 64), (16 << 20, 32))
        self.files: dict[int, int] = {}
        self.buffers: dict[int, int] = {}
        self.batches: dict[int, tuple[int, deque]] = {}
        self.moved = dict.fromkeys(_gpu.names, 0)
        self.spoil: dict[int, tuple[int, int]] = {}
        self.each_look = 2
        self.rooms = 2**62
        self.refuse: dict[str, str] = {}
        self._operations = itertools.count()
        self._handles = itertools.count(1)
        self._lock = threading.Lock()

    def _maybe_refuse(self, call: str) -> None:
        if call in self.refuse:
            raise CuFileError(self.refuse[call])

    def get_version(self):
        return self.version

    def set_parameter_bool(self, parameter, value):
        self.parameters["compat"] = value

    def set_parameter_size_t(self, parameter, value):
        self.parameters[parameter] = value

    def get_parameter_size_t(self, parameter):
        return self.parameters.get(parameter, 0)

    def get_parameter_posix_pool_slab_array(self, sizes, counts, length):
        for place, column in ((sizes, 0), (counts, 1)):
            array = (ctypes.c_uint64 * length).from_address(place)
            array[:] = [entry[column] >> (0 if column else 10) for entry in self.pool]

    def driver_open(self):
        self._maybe_refuse("driver_open")

    def set_stats_level(self, level):
        self._maybe_refuse("set_stats_level")

    def stats_start(self):
        pass

    def get_stats_l3(self, place):
        stats = np.zeros(1, self.stats_level3_dtype)
        for name, count in self.moved.items():
            stats["per_gpu_stats"][0, 0][name] = count
        ctypes.memmove(place, stats.ctypes.data, stats.nbytes)

    # ---- files and buffers

    def handle_register(self, place):
        self._maybe_refuse("handle_register")
        handle = next(self._handles)
        self.files[handle] = ctypes.c_int.from_address(place + 8).value
        return handle

    def handle_deregister(self, handle):
        del self.files[handle]

    def buf_register(self, address, nbytes, flags):
        self._maybe_refuse("buf_register")
        self.buffers[address] = nbytes

    def buf_deregister(self, address):
        if self.buffers.pop(address, None) is None:
            raise CuFileError("MEMORY_NOT_REGISTERED")

    # ---- moving

    def _move(self, handle, address, nbytes, at, writing):
        """(status, bytes moved)"""
        with self._lock:
            spoiled = self.spoil.get(next(self._operations))
            self.moved[f"n_{self.way}_{'writes' if writing else 'reads'}"] += 1
        if spoiled is not None:
            return spoiled
        memory = (ctypes.c_uint8 * nbytes).from_address(address)
        # O_DIRECT wants aligned memory, which the stand-in for a GPU's has not: through an aligned page.
        descriptor = os.open(f"/proc/self/fd/{self.files[handle]}", os.O_RDWR)
        try:
            if writing:
                return 16, os.pwrite(descriptor, memory, at)
            return 16, os.preadv(descriptor, [memory], at)
        finally:
            os.close(descriptor)

    def read(self, handle, base, nbytes, at, offset):
        return self._move(handle, base + offset, nbytes, at, False)[1]

    def write(self, handle, base, nbytes, at, offset):
        return self._move(handle, base + offset, nbytes, at, True)[1]

    def batch_io_set_up(self, entries):
        if entries > self.parameters[int(_Parameter.PROPERTIES_IO_BATCHSIZE)]:
            raise CuFileError("INVALID_VALUE")
        handle = next(self._handles)
        self.batches[handle] = entries, deque()
        return handle

    def batch_io_submit(self, batch, count, place, flags):
        self._maybe_refuse("batch_io_submit")
        entries, flying = self.batches[batch]
        if len(flying) + count > entries:
            raise CuFileError("BATCH_FULL")
        if sum(len(flying) for _, flying in self.batches.values()) + count > self.rooms:
            with Path(os.environ["CUFILE_LOGFILE_PATH"]).open("a") as log:
                log.write(f" [pid={os.getpid()}] DEBUG 0:1 waiting for a bounce buffer\n\n")
            threading.Event().wait()
        memory = (ctypes.c_uint8 * (count * self.io_params_dtype.itemsize)).from_address(place)
        flying.extend(np.frombuffer(memory, self.io_params_dtype).copy())

    def batch_io_get_status(self, batch, at_least, number, events, timeout):
        self._maybe_refuse("batch_io_get_status")
        assert timeout, "without a limit it waits for ever"
        _, flying = self.batches[batch]
        room = ctypes.c_uint32.from_address(number)
        count = min(len(flying), room.value, max(self.each_look, at_least))
        found = np.zeros(count, self.io_events_dtype)
        for event in found:
            entry = flying.popleft()
            place = entry["u"]["batch"]
            status, moved = self._move(
                int(entry["fh"]),
                int(place["dev_ptr_base"] + place["dev_ptr_offset"]),
                int(place["size_"]),
                int(place["file_offset"]),
                bool(entry["opcode"]),
            )
            event["cookie"], event["status"], event["ret"] = entry["cookie"], status, moved
        ctypes.memmove(events, found.ctypes.data, found.nbytes)
        room.value = count

    def batch_io_destroy(self, batch):
        del self.batches[batch]

    # ---- on streams

    def stream_register(self, stream, flags):
        self._maybe_refuse("stream_register")
        assert stream not in self.streams
        self.streams[stream] = flags

    def stream_deregister(self, stream):
        del self.streams[stream]

    def _later(self, handle, base, places, stream, writing):
        """What is asked for is looked at when the stream gets there, not now."""

        def move():
            size, at, offset, moved = (ctypes.c_int64.from_address(place) for place in places)
            if self.streams[stream] & 8:
                assert not any(number.value % 4096 for number in (size, at, offset))
            moved.value = self._move(handle, base + offset.value, size.value, at.value, writing)[1]

        self.cuda.streams[stream].append(move)

    def read_async(self, handle, base, size, at, offset, moved, stream):
        self._maybe_refuse("read_async")
        self._later(handle, base, (size, at, offset, moved), stream, False)

    def write_async(self, handle, base, size, at, offset, moved, stream):
        self._maybe_refuse("write_async")
        self._later(handle, base, (size, at, offset, moved), stream, True)

    def op_status_error(self, status):
        return "what cuFile calls it"
