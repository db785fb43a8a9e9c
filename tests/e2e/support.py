"""Running kvscen as a user does: another process, another folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]

#: Four points on host memory, three trials each, about two seconds.
MEMORY = """kvs 1
tier dram : memory { }
pattern pages : transfer { block = 64 KiB; batch = 8 }
sweep blocks {
  pattern = pages
  tier = dram
  pages.op in [write, read]
  pages.batch in [4, 8]
  trials = 3; warmup = 20 ms; time = 80 ms; seed = 1
  expect errors == 0
}
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from kvscen.cli.main import main; main()", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **(extra or {})}


def kvscen(
    folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` and return what it printed. Fails the test on a traceback, whatever the command."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment(env), capture_output=True, text=True, timeout=timeout
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


def scenario(folder: Path, text: str = MEMORY, name: str = "test.kvs") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def trials(run: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(run / "trials.parquet").to_pylist()
    return rows
