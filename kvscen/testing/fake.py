"""`fake`: a driver that keeps blocks in memory and does exactly one thing wrong, for tests of what runs drivers.

Use the class as it is, or make it an installed driver for a child process:

    folder = register(tmp_path)                    # an entry point in the group kvscen.drivers
    env = {**os.environ, "PYTHONPATH": str(folder)}

Its settings say what goes wrong (`fault`), from which operation on, counted from 0 since the store was opened (`after`;
laying out the data counts too), and how long an operation takes (`latency`).
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import (
    ERROR,
    OK,
    READ,
    WRITE,
    Arena,
    Availability,
    Count,
    Driver,
    DriverError,
    Duration,
    Lane,
    Layout,
    Limits,
    PathReport,
    Rows,
    Store,
    Tier,
    Unavailable,
    Word,
    Work,
    host_arena,
    setting,
)
from kvscen.plugin.registry import registry

#: What can go wrong, by name.
FAULTS = {
    "none": "nothing: every byte is kept",
    "hang_probe": "the probe never returns",
    "unavailable": "the machine lacks what it needs: `probe` and `open` say so",
    "raise_open": "`open` raises an error that is no DriverError",
    "refuse": "`prepare` raises a DriverError",
    "hang_prepare": "`prepare` never returns",
    "hang_submit": "`submit` never returns",
    "hang_reap": "`reap` never returns",
    "hang_settle": "`settle` never returns, once there were `after` operations",
    "slow_settle": "`settle` takes a hundred times `latency`, once there were `after` operations",
    "hang_close": "`close` never returns",
    "stall": "nothing is ever completed, but `reap` returns in time",
    "exit": "the process ends with status 3",
    "kill": "the process kills itself",
    "raise": "`reap` raises an error that is no DriverError",
    "print": "every operation prints a line to stdout",
    "error": "every `after`-th operation fails with EIO (every one where `after` is 0)",
    "short": "one operation moves half of its bytes and says so",
    "lie": "one operation moves half of its bytes and claims all of them",
    "too_many": "one operation claims twice its bytes",
    "unknown_id": "one completion has an id that was never submitted",
    "twice": "one operation is completed twice",
    "lost": "one operation is never completed",
    "corrupt": "one read brings a wrong byte",
    "lost_write": "one write is acknowledged and not kept",
    "swapped": "one write goes to its neighbour's place, and the neighbour's content to its own",
    "slow": "from `after` on, operations take a hundred times `latency`",
}
# From `after` on, again and again; any other fault strikes once, at the first operation from `after` on that it can.
_EVERY = frozenset({"print", "slow", "stall"})
_HALVES = frozenset({"short", "lie"})
_KINDS = {"corrupt": READ, "lost_write": WRITE, "swapped": WRITE}


@attrs.frozen
class FakeSettings:
    fault: str = setting(Word(*FAULTS), default="none", help="what goes wrong")
    after: int = setting(Count(minimum=0), default=0, help="from which operation on")
    latency_ns: int = setting(Duration(), default=0, help="how long an operation takes")


def _hang() -> None:
    while True:
        time.sleep(3600)


class FakeStore(Store):
    """`blocks` maps a key to its content, a uint8 array of the stride."""

    limits = Limits(alignment_bytes=1, max_in_flight=256)

    def __init__(self, tier: Tier) -> None:
        self.settings: FakeSettings = tier.settings
        self.blocks: dict[int, npt.NDArray[np.uint8]] = {}
        self.stride_bytes = 0
        self._count = 0
        self._struck = False

    def next_operation(self, kind: int) -> str:
        """Count an operation and say what is to go wrong with it. Faults of the whole process strike here."""
        number, settings = self._count, self.settings
        self._count += 1
        fault = settings.fault
        if fault == "error":
            return fault if not settings.after or number % settings.after == settings.after - 1 else "none"
        if number < settings.after or self._struck or not self._possible(fault, kind):
            return "none"
        self._struck = fault not in _EVERY
        if fault == "exit":
            os._exit(3)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang_reap":
            _hang()
        if fault == "raise":
            raise ZeroDivisionError("a bug in the fake driver")
        if fault == "print":
            print("the fake driver talks", flush=True)
        return fault

    def _possible(self, fault: str, kind: int) -> bool:
        if fault == "swapped":
            return kind == WRITE and len(self.blocks) > 1
        return kind == _KINDS.get(fault, kind)

    def due(self, fault: str) -> bool:
        """Is it `fault` that goes wrong, and its time has come?"""
        return self.settings.fault == fault and self._count >= self.settings.after

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes, huge=False)

    def prepare(self, layout: Layout) -> Sequence[int]:
        if self.settings.fault == "hang_prepare":
            _hang()
        if self.settings.fault == "refuse":
            raise DriverError("the fake driver refuses this layout", "choose another `fault`")
        if layout.stride_bytes != self.stride_bytes:
            self.blocks.clear()
            self.stride_bytes = layout.stride_bytes
        keys = range(layout.first_key, layout.first_key + layout.keys)
        return [key for key in keys if key not in self.blocks]

    def lane(self, index: int, arena: Arena) -> Lane:
        return FakeLane(self, arena)

    def settle(self) -> None:
        if self.due("hang_settle"):
            _hang()
        if self.due("slow_settle"):
            time.sleep(100 * self.settings.latency_ns / 1e9)

    def path(self) -> PathReport:
        return PathReport("memory", "the fake driver keeps blocks in a dictionary")

    def close(self) -> None:
        if self.settings.fault == "hang_close":
            _hang()


class FakeLane(Lane):
    """Serves operations in order, each `latency` after its submission."""

    def __init__(self, store: FakeStore, arena: Arena) -> None:
        self._store, self._arena = store, arena
        self._waiting: list[tuple[np.void, int]] = []
        self._again: list[tuple[int, ...]] = []

    def submit(self, ops: Rows) -> int:
        if self._store.due("hang_submit"):
            _hang()
        room = self._store.limits.max_in_flight - len(self._waiting)
        accepted = ops[: max(room, 0)].copy()
        now = self._store.clock()
        self._waiting += [(op, now) for op in accepted]
        return len(accepted)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        clock = self._store.clock
        deadline = clock() + timeout_ns
        count = 0
        while count < len(out):
            if self._again:
                out[count] = self._again.pop()
                count += 1
                continue
            ready = self._waiting[0][1] + self._latency_ns if self._waiting else deadline
            if not self._waiting or ready > clock():
                wait = min(ready, deadline) - clock()
                if count >= at_least or (wait <= 0 and ready >= deadline):
                    break
                time.sleep(max(wait, 0) / 1e9)
                continue
            row = self._serve(*self._waiting.pop(0))
            if row is not None:
                out[count] = row
                count += 1
        return count

    @property
    def _latency_ns(self) -> int:
        """Of the operation that is next."""
        if self._store.due("stall"):
            return 10**18
        return self._store.settings.latency_ns * (100 if self._store.due("slow") else 1)

    def _serve(self, op: np.void, submitted: int) -> tuple[int, ...] | None:
        store = self._store
        fault = store.next_operation(int(op["kind"]))
        ident, key, offset, nbytes, buffer = (int(op[n]) for n in ("id", "key", "offset", "bytes", "buffer"))
        lent = self._arena.view[buffer : buffer + nbytes]
        moved, code, outcome = nbytes, 0, OK
        if fault == "error":
            moved, code, outcome = 0, errno.EIO, ERROR
        elif offset + nbytes > store.stride_bytes or len(lent) < nbytes:
            moved, code, outcome = 0, errno.EINVAL, ERROR
        elif op["kind"] == WRITE:
            self._write(key, offset, lent, fault)
        elif op["kind"] == READ and key in store.blocks:
            self._read(key, offset, lent, fault)
        else:
            moved, code, outcome = 0, errno.ENODATA, ERROR
        if fault == "short":
            moved //= 2
        if fault == "too_many":
            moved *= 2
        if fault == "unknown_id":
            ident ^= 1 << 62
        if fault == "lost":
            return None
        row = (ident, submitted, store.clock(), moved, 0, code, outcome, 0, 0)
        if fault == "twice":
            self._again.append(row)
        return row

    def _write(self, key: int, offset: int, lent: npt.NDArray[np.uint8], fault: str) -> None:
        blocks = self._store.blocks
        block = blocks.setdefault(key, np.zeros(self._store.stride_bytes, np.uint8))
        if fault == "lost_write":
            return
        nbytes = len(lent) // 2 if fault in _HALVES else len(lent)
        block[offset : offset + nbytes] = lent[:nbytes]
        if fault == "swapped":
            neighbour = next(other for other in blocks if other != key)
            blocks[key], blocks[neighbour] = blocks[neighbour], blocks[key]

    def _read(self, key: int, offset: int, lent: npt.NDArray[np.uint8], fault: str) -> None:
        nbytes = len(lent) // 2 if fault in _HALVES else len(lent)
        lent[:nbytes] = self._store.blocks[key][offset : offset + nbytes]
        if fault == "corrupt" and len(lent):
            lent[len(lent) // 2] ^= 0xFF


class FakeDriver(Driver):
    name = "fake"
    summary = "Blocks in memory, and one thing that goes wrong: for tests."
    settings = FakeSettings

    def probe(self, tier: Tier | None) -> Availability:
        fault = tier.settings.fault if tier is not None else "none"
        if fault == "hang_probe":
            _hang()
        if fault == "unavailable":
            return Availability(False, "the fake driver is told to be unavailable", "choose another `fault`")
        return Availability(True)

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> FakeStore:
        if tier.settings.fault == "unavailable":
            raise Unavailable("the fake driver is told to be unavailable", "choose another `fault`")
        if tier.settings.fault == "raise_open":
            raise ZeroDivisionError("a bug in the fake driver")
        return FakeStore(tier)


def register(folder: Path, name: str = "fake", target: str = "kvscen.testing.fake:FakeDriver") -> Path:
    """Make `folder` an installation of a driver (by default the fake one) for whoever has it on its PYTHONPATH.

    Writes metadata only: `target` is a `module:Class` that can be imported. Returns `folder`.
    """
    package = name.replace("-", "_")
    info = folder / f"kvscen_{package}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kvscen-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[kvscen.drivers]\n{name} = {target}\n")
    importlib.invalidate_caches()
    registry.cache_clear()
    return folder
