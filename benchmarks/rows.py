"""What benchmarks share: a run of a scenario as users make it, and rows with their targets."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as pq


@attrs.frozen
class Row:
    """A line of the table. `values` are those of the rounds; the target concerns their median."""

    what: str
    values: Sequence[float]
    target: str = ""
    met: str = ""
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def kvscen_run(text: str, folder: Path) -> list[dict[str, Any]]:
    """The trials of `kvscen run`, which must all be ok."""
    scenario, out = folder / "bench.kvs", folder / "run"
    scenario.write_text(text)
    shutil.rmtree(out, ignore_errors=True)
    code = "from kvscen.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(scenario), "--out", str(out), "--format", "json"],
        stdout=subprocess.DEVNULL,  # the progress on stderr is for whoever waits
    )
    if done.returncode:
        sys.exit(f"kvscen failed with status {done.returncode}: see above")
    rows: list[dict[str, Any]] = pq.read_table(out / "trials.parquet").to_pylist()
    for row in rows:
        if row["status"] != "ok" or row["ceiling_note"]:
            sys.exit(f"a trial of {row['sweep']} is no use: {row['status']}: {row['reason']} {row['ceiling_note']}")
    return rows


def at_least(row: Row, target: float) -> Row:
    return attrs.evolve(row, target=f">= {target:g}", met="yes" if row.median >= target else "NO")


def at_most(row: Row, target: float) -> Row:
    return attrs.evolve(row, target=f"<= {target:g}", met="yes" if row.median <= target else "NO")


def show(rows: Sequence[Row]) -> str:
    cells = [("", "median", "range", "", "target", "met", "n")]
    for row in rows:
        low, high = min(row.values), max(row.values)
        digits = 2 if abs(row.median) < 100 else 0
        shown = (f"{row.median:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}")
        cells.append((row.what, *shown, row.unit, row.target, row.met, str(len(row.values))))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    left = {0, 3, 4, 5}
    lines = []
    for line in cells:
        padded = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
