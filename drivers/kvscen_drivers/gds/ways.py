"""Which way blocks went: by cuFile's own count of operations, else by nvidia-fs's, else nobody knows."""

from __future__ import annotations

from pathlib import Path

from kvscen.plugin import PathReport
from kvscen_drivers.gds.cufile import Counts, CuFile

NVIDIA_FS = Path("/proc/driver/nvidia-fs/stats")


class Witness:
    """Looks at the counters of this process from `reset` on."""

    def __init__(self, cufile: CuFile, where: str) -> None:
        self._cufile = cufile
        self._where = where
        self._before: Counts | None = None
        self._basic: dict[str, int] = {}
        self._driver: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        self._before = self._cufile.counts()
        self._basic = self._cufile.basic()
        self._driver = nvidia_fs()

    def report(self) -> PathReport:
        now = self._cufile.counts()
        if now is not None and self._before is not None:
            return self._by_cufile(now.since(self._before))
        driver, before = nvidia_fs(), self._driver
        moved = sum(driver.get(name, 0) - before.get(name, 0) for name in ("Reads", "Writes"))
        if moved > 0:
            return PathReport("nvfs", f"nvidia-fs counts {moved} operations of this machine, {self._where}")
        reason = self._cufile.stats or "it counts nothing"
        return PathReport("unknown", f"cuFile does not tell ({reason}), {self._where}")

    def _by_cufile(self, counts: Counts) -> PathReport:
        """`compat` is never called GDS."""
        took = {"p2p": counts.p2p, "nvfs": counts.nvfs, "compat": counts.posix}
        took = {way: count for way, count in took.items() if count > 0}
        if not took:
            return self._by_batches()
        told = ", ".join(f"{count} {way}" for way, count in took.items())
        evidence = f"cuFile counts operations by GPU: {told}; {self._where}"
        kind = next(iter(took)) if len(took) == 1 else "mixed"
        return PathReport(kind, evidence)  # type: ignore[arg-type]  # the names are those of PathKind

    def _by_batches(self) -> PathReport:
        """Where it counts none by GPU (buffers in host memory)."""
        now = self._cufile.basic()
        more = {name: count - self._basic.get(name, 0) for name, count in now.items()}
        told = ", ".join(f"{count} {name}" for name, count in more.items() if count)
        return PathReport("unknown", f"cuFile counts no operations by way ({told or 'none at all'}); {self._where}")


def nvidia_fs() -> dict[str, int]:
    """Totals of nvidia-fs on this machine; empty where it is not loaded or does not count."""
    try:
        text = NVIDIA_FS.read_text()
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name.strip() in ("Reads", "Writes") and rest.strip().startswith("n="):
            digits = rest.strip()[2:].split()[0]
            if digits.isdigit():
                found[name.strip()] = int(digits)
    return found
