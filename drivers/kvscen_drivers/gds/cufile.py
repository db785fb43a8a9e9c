"""cuFile through cuda-bindings, in this process: the library's state is the process's.

Nothing is imported before it is asked for. Opening cuFile's driver may never return: whoever does not know that it
works here asks a child first (`kvscen_drivers.gds.trial`).
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
from typing import Any

import attrs
import numpy as np

from kvscen.plugin import DriverError, Unavailable
from kvscen_drivers.gds.clamp import Configuration
from kvscen_drivers.gpu import cuda

INSTALL = "pip install 'kvscen[gds]': cuda-bindings and nvidia-cufile of the same minor version"
#: Bindings before this one told neither how many bytes a read moved nor that it failed.
OLDEST_BINDINGS = (13, 1)
#: cuFile 1.15 came with CUDA 13.0, 1.16 with 13.1, and so on.
_MINOR_OF_CUDA_13_0 = 15
_OPAQUE_FD, BATCH = 1, 1
WAITING, PENDING, COMPLETE = 1, 2, 16
_STATS = 3  # the level that counts by way
_POOL_CLASSES = 3


def why_not() -> tuple[str, str] | None:
    """Why cuFile cannot be used from here, and a remedy; None where nothing speaks against it. Opens nothing."""
    reason = cuda.why_not()
    if reason is not None:
        return reason
    if importlib.util.find_spec("cuda.bindings.cufile") is None:
        return "cuda-bindings has no cuFile here: it is for Linux on x86-64 and aarch64", INSTALL
    return None


def bindings() -> Any:
    """The module `cuda.bindings.cufile`, with a library that fits. Raises Unavailable."""
    reason = why_not()
    if reason is not None:
        raise Unavailable(*reason)
    try:
        api = importlib.import_module("cuda.bindings.cufile")
        version = int(api.get_version())
    except Exception as error:  # the bindings raise errors of their own where a library is missing
        raise Unavailable(f"libcufile cannot be loaded: {error}", INSTALL) from error
    mismatch = mismatched(version, bindings_version())
    if mismatch:
        raise Unavailable(mismatch, INSTALL)
    return api


def bindings_version() -> str:
    from importlib import metadata

    return metadata.version("cuda-bindings")


def version_installed() -> int:
    """Of cuFile, by the wheel that brought it: 1171 is 1.17.1. 0 where none did."""
    from importlib import metadata

    for name in ("nvidia-cufile", "nvidia-cufile-cu12"):
        try:
            major, minor, patch = (int(part) for part in metadata.version(name).split(".")[:3])
        except (metadata.PackageNotFoundError, ValueError):
            continue
        return 1000 * major + 10 * minor + min(patch, 9)
    return 0


def mismatched(cufile: int, bindings: str) -> str:
    """Why a version of cuFile (1170 is 1.17) and one of the bindings ("13.2.0") do not go together, or ""."""
    major, minor = (int(part) for part in bindings.split(".")[:2])
    if (major, minor) < OLDEST_BINDINGS:
        return f"cuda-bindings {bindings} does not tell whether a cuFile read moved all its bytes"
    belongs = 1000 + 10 * (_MINOR_OF_CUDA_13_0 + minor)
    if major == 13 and cufile // 10 * 10 == belongs:
        return ""
    return f"cuFile {show_version(cufile)} and cuda-bindings {bindings} are of different minor versions of CUDA"


def show_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}" + (f".{number % 10}" if number % 10 else "")


@attrs.frozen
class Options:
    """What is set before cuFile's driver is opened, once in a process."""

    compat: bool = True


@attrs.frozen
class Counts:
    """Operations by the way they took, as cuFile counts them."""

    p2p: int = 0
    nvfs: int = 0
    posix: int = 0

    def since(self, before: Counts) -> Counts:
        return Counts(self.p2p - before.p2p, self.nvfs - before.nvfs, self.posix - before.posix)


class CuFile:
    """cuFile, opened."""

    def __init__(self, api: Any, options: Options) -> None:
        """Raises DriverError."""
        self.api, self.options = api, options
        number = int(api.get_version())
        self.version = show_version(number)
        bools, sizes = api.BoolConfigParameter, api.SizeTConfigParameter
        try:
            api.set_parameter_bool(int(bools.PROPERTIES_ALLOW_COMPAT_MODE), options.compat)
            api.driver_open()
        except Exception as error:
            raise Unavailable(
                f"cuFile's driver cannot be opened: {error}", "look at cuFile's log and at `nvidia-smi`"
            ) from error
        self.stats = self._start_stats()
        self.configuration = Configuration(
            version=number,
            batch=self._size(sizes.PROPERTIES_IO_BATCHSIZE),
            queue=self._size(sizes.EXECUTION_MAX_IO_QUEUE_DEPTH),
            cache_kib=self._size(sizes.PROPERTIES_MAX_DEVICE_CACHE_SIZE_KB),
            buffer_kib=self._size(sizes.PROPERTIES_PER_BUFFER_CACHE_SIZE_KB),
            pool=self._pool(),
        )
        self._stats_buffer = np.zeros(1, api.stats_level3_dtype)

    def _size(self, parameter: Any) -> int | None:
        try:
            return int(self.api.get_parameter_size_t(int(parameter))) or None
        except Exception:
            return None

    def _pool(self) -> tuple[tuple[int, int], ...]:
        """(bytes, buffers) of each class of cuFile's bounce buffers in host memory."""
        sizes, counts = np.zeros(_POOL_CLASSES, np.uint64), np.zeros(_POOL_CLASSES, np.uint64)
        try:
            self.api.get_parameter_posix_pool_slab_array(sizes.ctypes.data, counts.ctypes.data, _POOL_CLASSES)
        except Exception:
            return ()
        return tuple((kib * 1024, count) for kib, count in zip(sizes.tolist(), counts.tolist(), strict=True) if count)

    def _start_stats(self) -> str:
        """Let cuFile count which way operations go. Why it does not, or ""."""
        try:
            self.api.set_stats_level(_STATS)
            self.api.stats_start()
        except Exception as error:
            return str(error)
        return ""

    def counts(self) -> Counts | None:
        """What it has counted in this process; None where it does not."""
        if self.stats:
            return None
        try:
            self.api.get_stats_l3(self._stats_buffer.ctypes.data)
        except Exception as error:
            self.stats = str(error)
            return None
        gpus = self._stats_buffer[0]["per_gpu_stats"]
        return Counts(*(int(gpus[f"n_{way}_reads"].sum() + gpus[f"n_{way}_writes"].sum()) for way in _WAYS))

    def basic(self) -> dict[str, int]:
        """Its other counters, for `counts` that say nothing: operations of all GPUs and of host memory together."""
        if self.stats:
            return {}
        basic = self._stats_buffer[0]["detailed"]["basic"]
        return {name: int(basic[name]["ok"]) for name in _BASIC}

    # ---- files and buffers

    def register_file(self, descriptor: int) -> int:
        """Raises cuFile's own error."""
        made = np.zeros(1, self.api.descr_dtype)
        made["type"] = _OPAQUE_FD
        made["handle"]["fd"] = descriptor
        return int(self.api.handle_register(made.ctypes.data))

    def register_buffer(self, address: int, nbytes: int) -> str:
        """Why the buffer cannot be registered, or ""."""
        try:
            self.api.buf_register(address, nbytes, 0)
        except Exception as error:
            return str(error)
        return ""


_WAYS = ("p2p", "nvfs", "posix")
_BASIC = (
    *("read_ops", "write_ops", "batch_total_submit_ops", "batch_p2p_submit_ops", "batch_nvfs_submit_ops"),
    *("batch_posix_enqueued_ops", "batch_posix_processed_ops"),
)

_open: list[CuFile] = []


def open_cufile(options: Options) -> CuFile:
    """cuFile in this process, opened with these options. Raises Unavailable, and DriverError where it is open with
    others."""
    if not _open:
        os.environ.setdefault("CUFILE_LOGFILE_PATH", "/proc/self/fd/2")  # else it leaves a file where we run
        _open.append(CuFile(bindings(), options))
    if _open[0].options != options:
        raise DriverError(
            "cuFile is open in this process with other settings, and it has one set for all its files",
            "give all `gds` tiers under one `tiered` the same `compat`",
        )
    return _open[0]


def failed(result: int) -> OSError:
    """What a negative result of cuFileRead or cuFileWrite means."""
    return OSError(errno.EIO, f"cuFile error {-result}")


def explain(api: Any, moved: int) -> str:
    """What cuFile says that it moved: bytes, or a negative error of its own."""
    if moved >= 0:
        return str(moved)
    try:
        return f"cuFile error {-moved} ({api.op_status_error(-moved)})"
    except Exception:  # it has no name for it
        return f"cuFile error {-moved}"
