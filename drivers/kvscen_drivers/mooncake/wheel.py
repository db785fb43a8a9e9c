"""Mooncake's Python package: whether it can be used here, and what its answers mean.

It is imported by whoever uses it, a worker or a probe: it loads a hundred megabytes and starts threads.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
from importlib import metadata
from pathlib import Path
from typing import Any

MISSING = "Mooncake is not installed"
_STORE = "mooncake.store"
INSTALL = "pip install 'kvscen[mooncake]' (or mooncake-transfer-engine, which is built for CUDA)"

_PACKAGES = ("mooncake-transfer-engine-non-cuda", "mooncake-transfer-engine", "mooncake-transfer-engine-cuda13")
#: Debian's packages of libraries that the wheel is linked with and does not bring.
_LIBRARIES = {"libibverbs.so.1": "libibverbs1", "libnuma.so.1": "libnuma1", "libcurl.so.4": "libcurl4"}

#: Mooncake's error codes (mooncake-store/include/types.h): name, errno, and what it comes to.
_CODES = {
    -1: ("INTERNAL_ERROR", errno.EREMOTEIO, ""),
    -101: ("SEGMENT_NOT_FOUND", errno.EREMOTEIO, ""),
    -200: ("NO_AVAILABLE_HANDLE", errno.ENOSPC, "the store's memory is full"),
    -600: ("INVALID_PARAMS", errno.EINVAL, "such as a value of another length"),
    -601: ("ILLEGAL_CLIENT", errno.EACCES, ""),
    -700: ("INVALID_WRITE", errno.EREMOTEIO, ""),
    -703: ("REPLICA_IS_NOT_READY", errno.EAGAIN, "its write has not ended"),
    -704: ("OBJECT_NOT_FOUND", errno.ENODATA, "the store has no such key: it was evicted or removed"),
    -705: ("OBJECT_ALREADY_EXISTS", errno.EEXIST, ""),
    -706: ("OBJECT_HAS_LEASE", errno.EBUSY, ""),
    -707: ("LEASE_EXPIRED", errno.ESTALE, "the transfer took longer than the master's default_kv_lease_ttl"),
    -708: ("OBJECT_HAS_REPLICATION_TASK", errno.EBUSY, ""),
    -800: ("TRANSFER_FAIL", errno.EIO, "the node that holds the block does not answer"),
    -900: ("RPC_FAIL", errno.ECONNRESET, "the master does not answer"),
    -901: ("RPC_TIMEOUT", errno.ETIMEDOUT, "the master does not answer in time"),
    -1010: ("UNAVAILABLE_IN_CURRENT_STATUS", errno.EAGAIN, ""),
    -1700: ("TENANT_QUOTA_EXCEEDED", errno.EDQUOT, ""),
}
#: After these nothing of the transfer is under way any more. After any other, bytes may still come into the buffers.
_HARMLESS = frozenset({-200, -600, -703, -704, -705, -706, -707, -708, -1010, -1700})


def installed() -> bool:
    return importlib.util.find_spec("mooncake") is not None


def version() -> str:
    for package in _PACKAGES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def api(module: str = _STORE) -> Any:
    """A module of the wheel, such as that with MooncakeDistributedStore. Raises ImportError."""
    return importlib.import_module(module)


def why_not(module: str = _STORE) -> tuple[str, str]:
    """Why it cannot be used here, and what to do; ("", "") where it can. Imports it."""
    if not installed():
        return MISSING, INSTALL
    try:
        api(module)
    except ImportError as error:
        library = str(error).partition(":")[0]
        package = _LIBRARIES.get(library)
        if package is not None and "cannot open shared object" in str(error):
            return f"Mooncake needs {library}, which its wheel does not bring", f"apt install {package}"
        return f"Mooncake cannot be imported: {error}", INSTALL
    return "", ""


def master_program() -> str:
    """The path of mooncake_master, which the wheel brings."""
    spec = importlib.util.find_spec("mooncake")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "mooncake_master"
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)
    return str(path)


def spelled(code: int) -> str:
    """A code by its name: "NO_AVAILABLE_HANDLE (-200): the store's memory is full"."""
    name, _, means = _CODES.get(code, ("an error that is not known here", 0, ""))
    return f"{name} ({code})" + (f": {means}" if means else "")


def errno_of(code: int) -> int:
    return _CODES.get(code, ("", errno.EREMOTEIO, ""))[1]


def harmless(code: int) -> bool:
    """Is nothing of a transfer under way that ended with this code?"""
    return code in _HARMLESS
