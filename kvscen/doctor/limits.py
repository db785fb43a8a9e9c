"""Checks of what the process may do: asynchronous I/O, locked memory, files."""

from __future__ import annotations

from kvscen.doctor.case import Case
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.report.numbers import show_one

#: What registered buffers take in a common scenario: 128 operations of 2.5 MiB.
_LOCKED_BYTES = 320 << 20
_OPEN_FILES = 1024
_AIO_EVENTS = 4096


def io_uring(case: Case) -> Finding | None:
    limits = case.facts.limits
    if limits.io_uring is None:
        return None
    if limits.io_uring == "works":
        return ok("works")
    why = (
        "the engine `io_uring` cannot be used; `auto` falls back to threads, which cost more CPU time for an operation"
    )
    if limits.io_uring_disabled:
        return problem(
            f"switched off (kernel.io_uring_disabled = {limits.io_uring_disabled})",
            why,
            "permit it",
            "sudo sysctl -w kernel.io_uring_disabled=0",
        )
    if limits.io_uring == "ENOSYS" and (case.facts.host.kernel_version or (0, 0)) < (5, 1):
        return problem(f"not in Linux {case.facts.host.kernel}", why, "use Linux 5.1 or newer")
    if limits.io_uring == "ENOMEM":
        return problem(
            "refused for want of locked memory",
            why,
            "raise the limit on locked memory for this shell (before Linux 5.12 rings count against it)",
            "sudo prlimit --pid $$ --memlock=unlimited",
        )
    if limits.seccomp or case.facts.host.container:
        return problem(
            f"refused ({limits.io_uring}), as containers do by their seccomp filter",
            why,
            "start the container with a filter that permits io_uring",
            "docker run --security-opt seccomp=unconfined ...",
        )
    return problem(
        f"refused ({limits.io_uring})", why, "ask who looks after the machine; `threads` and `libaio` do without"
    )


def aio_requests(case: Case) -> Finding | None:
    most, used = case.facts.limits.aio_max, case.facts.limits.aio_used
    if most is None or used is None:
        return None
    found = f"{used:,} of {most:,} in use"
    if most - used >= _AIO_EVENTS:
        return ok(found)
    return problem(
        found,
        "the engine `libaio` gets no room for its operations (EAGAIN)",
        "raise the limit",
        "sudo sysctl -w fs.aio-max-nr=1048576",
    )


def locked_memory(case: Case) -> Finding | None:
    limits = case.facts.limits
    if limits.memlock_unlimited is None:
        return None
    if limits.memlock_unlimited:
        return ok("unlimited")
    if limits.memlock_exempt:
        return ok("unlimited for this user (CAP_IPC_LOCK)")
    most = limits.memlock_bytes or 0
    if most >= max(_LOCKED_BYTES, case.needs.memory_bytes):
        return ok(f"{show_one(most, 'B')}")
    return note(
        f"{show_one(most, 'B')}",
        "buffers that io_uring or a network card registers count against it: larger ones cannot be registered",
        "raise it for your user in /etc/security/limits.conf (`memlock unlimited`), or for this shell",
        "sudo prlimit --pid $$ --memlock=unlimited",
    )


def open_files(case: Case) -> Finding | None:
    most = case.facts.limits.open_files
    if most is None:
        return None
    if most >= _OPEN_FILES:
        return ok(f"{most:,}")
    return note(
        f"{most:,}",
        "a layout of one file for each block runs out of files",
        "raise it for this shell",
        "ulimit -n 65536",
    )


def file_size(case: Case) -> Finding | None:
    most = case.facts.limits.file_size_bytes
    need = max((need.disk_bytes for need in case.needs.paths), default=0)
    if most is None:
        return ok("unlimited")
    if need <= most:
        return ok(show_one(most, "B"))
    return problem(
        f"{show_one(most, 'B')}; the scenario needs {show_one(need, 'B')}",
        "a file cannot grow beyond it (EFBIG)",
        "raise it for this shell",
        "ulimit -f unlimited",
        prevents=True,
    )


CHECKS = (io_uring, aio_requests, locked_memory, open_files, file_size)
