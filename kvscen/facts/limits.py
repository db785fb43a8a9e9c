"""What the process may use: resource limits, control groups, asynchronous I/O."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from kvscen.facts.files import Files, fields

_CGROUP = Path("/sys/fs/cgroup")
#: Of x86_64, aarch64 and every other architecture that has it: io_uring came after their numbers were made one.
_IO_URING_SETUP = 425
_CAP_IPC_LOCK = 14


@attrs.frozen
class IoLimit:
    """A limit of a control group on a block device. `device` is major:minor, `limit` as the kernel spells it."""

    device: str
    limit: str


@attrs.frozen
class Limits:
    """None: no limit, or not known. Of nested control groups the tightest limit counts. `io_uring` is "works" or why
    it does not; `memlock_exempt` is whether locked memory is unlimited for this process whatever its limit says."""

    memlock_bytes: int | None = None
    memlock_unlimited: bool | None = None
    memlock_exempt: bool | None = None
    open_files: int | None = None
    file_size_bytes: int | None = None
    cgroup: str | None = None
    cgroup_memory_bytes: int | None = None
    cgroup_memory_used_bytes: int | None = None
    cgroup_cpus: float | None = None
    cgroup_io: tuple[IoLimit, ...] = ()
    io_uring: str | None = None
    io_uring_disabled: int | None = None
    seccomp: bool | None = None
    aio_max: int | None = None
    aio_used: int | None = None


def limits(files: Files, try_io_uring: Callable[[], int]) -> Limits:
    """`try_io_uring` makes a ring and returns 0 or an errno."""
    status = fields(files.lines("/proc/self/status"))
    given = _rlimits(files)
    memlock = given.get("Max locked memory")
    group = _Group.of(files)
    error = try_io_uring()
    return Limits(
        memlock_bytes=None if memlock == "unlimited" else _int(memlock),
        memlock_unlimited=None if memlock is None else memlock == "unlimited",
        memlock_exempt=_capable(status.get("CapEff"), _CAP_IPC_LOCK),
        open_files=_int(given.get("Max open files")),
        file_size_bytes=_int(given.get("Max file size")),
        cgroup=group.name,
        cgroup_memory_bytes=min(group.memory, default=None),
        cgroup_memory_used_bytes=group.used,
        cgroup_cpus=min(group.cpus, default=None),
        cgroup_io=tuple(dict.fromkeys(group.io)),
        io_uring="works" if not error else errno.errorcode.get(error, str(error)),
        io_uring_disabled=files.number("/proc/sys/kernel/io_uring_disabled"),
        seccomp=None if "Seccomp" not in status else status["Seccomp"] != "0",
        aio_max=files.number("/proc/sys/fs/aio-max-nr"),
        aio_used=files.number("/proc/sys/fs/aio-nr"),
    )


def io_uring_error() -> int:
    """Make a ring and close it: 0, or the errno that the kernel (or a seccomp filter) answers with."""
    library = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
    descriptor = library.syscall(_IO_URING_SETUP, 2, parameters)
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0


def _rlimits(files: Files) -> dict[str, str]:
    """The soft limits in /proc/self/limits: columns of fixed width, the name in the first 26 characters."""
    return {
        line[:26].strip(): (line[26:].split() or [""])[0]
        for line in files.lines("/proc/self/limits")[1:]
        if line.strip()
    }


def _int(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _capable(mask: str | None, bit: int) -> bool | None:
    try:
        return None if mask is None else bool(int(mask, 16) >> bit & 1)
    except ValueError:
        return None


@attrs.define
class _Group:
    """What the process's control groups allow, of version 1 and 2, from its own up to the root."""

    name: str | None = None
    memory: list[int] = attrs.field(factory=list)
    used: int | None = None
    cpus: list[float] = attrs.field(factory=list)
    io: list[IoLimit] = attrs.field(factory=list)

    @classmethod
    def of(cls, files: Files) -> _Group:
        group = cls()
        for line in files.lines("/proc/self/cgroup"):
            parts = line.split(":", 2)
            if len(parts) < 3:
                continue
            _, controllers, path = parts
            root = _CGROUP / controllers if controllers else _CGROUP
            if not controllers:
                group.name = path
                root = root if files.exists(root / "cgroup.controllers") else root / "unified"
            here = root / path.lstrip("/")
            while root in (here, *here.parents):
                group._add(files, here)
                if here == root:
                    break
                here = here.parent
        return group

    def _add(self, files: Files, here: Path) -> None:
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = files.number(here / limit_file)
            # v1 says "no limit" with the largest multiple of a page.
            if limit is not None and limit < 2**62:
                if not self.memory or limit < min(self.memory):
                    self.used = files.number(here / used_file)
                self.memory.append(limit)
        quota, _, period = (files.read(here / "cpu.max") or "").partition(" ")
        if quota.isdigit() and period.isdigit():
            self.cpus.append(int(quota) / int(period))
        old_quota, old_period = files.number(here / "cpu.cfs_quota_us"), files.number(here / "cpu.cfs_period_us")
        if old_quota and old_period and old_quota > 0:
            self.cpus.append(old_quota / old_period)
        for line in files.lines(here / "io.max"):
            device, _, rest = line.partition(" ")
            limited = [pair for pair in rest.split() if not pair.endswith("=max")]
            if limited:
                self.io.append(IoLimit(device, " ".join(limited)))
        for old, new in _THROTTLES.items():
            for line in files.lines(here / f"blkio.throttle.{old}_device"):
                device, _, value = line.partition(" ")
                if value.strip().isdigit():
                    self.io.append(IoLimit(device, f"{new}={value.strip()}"))


#: The limits of version 1, as version 2 calls them.
_THROTTLES = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}
