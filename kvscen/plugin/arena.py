"""Host memory for operations, on huge pages where the kernel gives them.

Huge pages matter: pinning a buffer of 4 KiB pages for direct I/O costs more than the system call itself, and halves the
throughput of a fast disk. Shared memory (the default of `mmap.mmap`) seldom gets them, so this maps private memory,
asks for huge pages, touches every page and then looks at what it really got.
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kvscen.plan.point import Work
from kvscen.plugin.contract import Arena, DriverError

HUGE_PAGE_BYTES = 2 << 20
#: The most memory for operations that are given to a lane ahead of time.
_AHEAD_BYTES = 32 << 20
_REMEDY = "use a smaller `depth`, fewer `threads` or `processes`, or a smaller block"


class HostArena(Arena):
    """Private anonymous memory. `pages` is "huge", "small" or "mixed": what the kernel says that it is made of."""

    def __init__(self, mapping: mmap.mmap, view: npt.NDArray[np.uint8], pages: str) -> None:
        self._mapping = mapping
        self.view = view
        self.address = view.ctypes.data
        self.pages = pages

    def close(self) -> None:
        self.view = np.empty(0, np.uint8)
        with contextlib.suppress(BufferError):  # somebody holds a piece of the view: the memory goes with the last one
            self._mapping.close()


def host_arena(nbytes: int, huge: bool = True) -> Arena:
    """`nbytes` of touched memory, aligned to 2 MiB (4 KiB where `huge` is false).

    Raises DriverError when there is not enough.
    """
    grain = HUGE_PAGE_BYTES if huge else mmap.PAGESIZE
    length = max(-(-nbytes // grain), 1) * grain
    free = available_bytes()
    if free is not None and length > free:
        raise DriverError(f"{show_bytes(length)} do not fit in the {show_bytes(free)} of free memory", _REMEDY)
    try:
        # A margin on either side, never touched: with flags of its own the arena stays a mapping of its own, so that
        # /proc/self/smaps speaks about it alone.
        mapping = mmap.mmap(-1, length + 2 * grain, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise DriverError(f"the kernel refuses {show_bytes(length)} of memory: {error.strerror}", _REMEDY) from error
    base = np.frombuffer(mapping, np.uint8, 1).ctypes.data
    start = grain - base % grain
    with contextlib.suppress(OSError):  # a kernel without transparent huge pages: `pages` will say "small"
        mapping.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE, start, length)
    whole = np.frombuffer(mapping, np.uint8, length, start)
    whole[:: mmap.PAGESIZE] = 0
    return HostArena(mapping, whole[:nbytes], _pages(whole.ctypes.data, length))


def buffers_for(work: Work, max_in_flight: int) -> int:
    """How many operations of `work` a lane has in flight at most: its buffers."""
    if work.wait == "batch":
        wanted = (work.depth or 1) * work.batch
    else:
        wanted = work.depth or work.batch
    return max(1, min(wanted, max_in_flight))


def ahead_for(work: Work, max_in_flight: int, block_bytes: int) -> int:
    """How many operations beyond those in flight a lane of a pipelined tier is given ahead of time: as many again where
    they are small and the lane takes them. Each needs a buffer too. None where batches or arrivals set the pace.
    """
    in_flight = buffers_for(work, max_in_flight)
    if work.wait == "batch" or work.rate_per_s is not None:
        return 0
    small = max(1, _AHEAD_BYTES // max(block_bytes, 1))
    return min(in_flight, small, max_in_flight - in_flight)


def available_bytes() -> int | None:
    """The memory that can be had without swapping; None where the kernel does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def show_bytes(nbytes: int) -> str:
    """A size for a sentence: "2.5 GiB"."""
    size = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def _pages(address: int, length: int) -> str:
    """What the mapping that starts at `address` is made of."""
    try:
        text = Path("/proc/self/smaps").read_text()
    except OSError:
        return "unknown"
    inside = False
    for line in text.splitlines():
        head = line.split(None, 1)[0]
        if not head.endswith(":"):
            first, last = (int(part, 16) for part in head.split("-"))
            inside = first <= address < last
        elif inside and head == "AnonHugePages:":
            held = int(line.split()[1]) * 1024
            return "huge" if held >= length else "mixed" if held else "small"
    return "unknown"
