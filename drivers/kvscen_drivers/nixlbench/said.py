"""What went wrong, in one sentence: from what nixlbench and NIXL print, and how the program ended.

nixlbench says what is wrong in its own words on stdout or stderr, often several lines deep, and then ends with
status 1. The first of SAID that is found decides; without one, the last line of stderr has to do.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from kvscen_drivers.program import ending, shortened

Status: TypeAlias = Literal["error", "unavailable", "corrupt"]

#: What a shell or a launcher makes of a death by a signal.
_SHELL_SIGNAL = 128
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
#: Lines that say nothing about what went wrong.
_NOISE = re.compile(r"^(WARNING: Adjusting |terminate called after|\*+$|-+$|(real|user|sys)\s)")


@attrs.frozen
class Problem:
    """Why there is no figure: a status and one sentence without its subject."""

    status: Status
    sentence: str


@attrs.frozen
class _Saying:
    """What a pattern in the output means. `sentence` may use its groups as {1}, the whole as {0}, and the places where
    processes meet as {etcd}, {asio} and {group}."""

    pattern: re.Pattern[str]
    status: Status
    sentence: str


def _saying(pattern: str, status: Status, sentence: str) -> _Saying:
    return _Saying(re.compile(pattern, re.MULTILINE), status, sentence)


SAID = (
    _saying(
        r"^ERROR: unknown command line flag '(\S+)'",
        "error",
        "does not know the flag `{1}`: this nixlbench is of another version than 1.4; leave `{1}` at its default",
    ),
    _saying(r"^ERROR: (.+)$", "error", "refuses its command line: {1}"),
    _saying(
        r"^Failed to acquire lock: connections to all backends failing|^Failed to setup ETCD runtime",
        "error",
        "found no etcd: nothing answers at {etcd}; start etcd there, set `etcd_endpoints`, or meet by "
        "`runtime_type = ASIO`",
    ),
    _saying(
        r"ASIO Receive timeout",
        "error",
        "waited for a peer that never came (ASIO at {asio}): start the other process, and let both reach this port",
    ),
    _saying(
        r"^Failed to synchronize|Barrier .*(?:timed? ?out|failed)|greater than or equal to global size",
        "error",
        "waited for peers that never came or were too many (etcd group `{group}`): {0}",
    ),
    _saying(
        r"^Invalid runtime: (\w+)",
        "unavailable",
        "is built without {1}: use a build that has it, or another `runtime_type`",
    ),
    _saying(
        r"unsupported backend '(\w+)'|^Unsupported backend: (\w+)|No plugin (?:found )?for (\w+)",
        "unavailable",
        "finds no NIXL plugin `{1}{2}{3}` here: install it, with the libraries that it needs, or name another backend",
    ),
    _saying(
        r"^VRAM not supported without .*$",
        "unavailable",
        "is built without a GPU, and `memory = vram` asks for one: {0}",
    ),
    _saying(r"^(?:NVSHMEM worker requested but .*|Unsupported worker type: .*)$", "unavailable", "cannot do this: {0}"),
    _saying(r"^Invalid segment type: (\w+)", "error", "refuses the memory type {1}: it is DRAM or VRAM"),
    _saying(
        r"^Failed to open file: (.+) with error: (.+)$",
        "error",
        "could not open {1}: {2}",
    ),
    _saying(r"No space left on device", "error", "ran out of space: make room in `filepath`, or move fewer blocks"),
    _saying(
        r"^Incorrect buffer size configuration.*$|^Total_buffer_size must be divisible.*$",
        "error",
        "refuses the size of its buffers: {0}; leave `total_buffer_size` out",
    ),
    _saying(
        r"Error preparing I/O operation: -6",
        "error",
        "had more operations in flight than `posix_ios_pool_size` permits (NIXL_ERR_NOT_ALLOWED): use a smaller batch",
    ),
    _saying(
        r"GDS batch pool exhausted",
        "error",
        "had more cuFile batches in flight than `gds_batch_pool_size`: raise it, or use a smaller batch",
    ),
    _saying(
        r"^Consistency check failed.*$",
        "corrupt",
        "found content that is not what was written: {0}",
    ),
    _saying(r"NIXL: createBackend failed! \((\w+)\)", "unavailable", "could not make the backend here ({1})"),
)


def is_crash(status: int) -> bool:
    """Whether a process died of a fault of its own: by a signal, or as a shell reports one (139)."""
    number = -status if status < 0 else status - _SHELL_SIGNAL
    return number in _CRASHES


def crash(status: int) -> str:
    """`a crash (SIGSEGV)`."""
    return f"a crash ({signal.Signals(-status if status < 0 else status - _SHELL_SIGNAL).name})"


def problem_of(output: str, stderr: str, status: int, places: Mapping[str, str]) -> Problem:
    """Why nixlbench ended with `status`. `output` is all that its processes printed, `places` where they should have
    met: etcd, asio, group."""
    for saying in SAID:
        match = saying.pattern.search(output)
        if match:
            groups = (shortened(group or "") for group in (match[0], *match.groups()))
            return Problem(saying.status, saying.sentence.format(*groups, **places))
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    how = f"ended with {crash(status)}" if is_crash(status) else ending(status) if status else "ended"
    return Problem("error", how + (f": {shortened(_plain(lines[-1]))}" if lines else ""))


def _plain(line: str) -> str:
    """A line of the log without its time and place: `E1120 08:48:01.502494 31443 nixl_agent.cpp:318] ...`."""
    return re.sub(r"^[EWIF]\d{4} [\d:.]+\s+\d+ \S+\] ", "", line)
