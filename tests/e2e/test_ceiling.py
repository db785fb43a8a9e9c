"""`ceiling = fio` from a text to the table, with the fio of this machine; without one, what the run says of it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.e2e.support import kvscen, scenario, trials

TEXT = """kvs 1
tier disk : posix {{ path = "./kv"; direct = true; allow_buffered = true; layout = {layout} }}
pattern pages : transfer {{
  block = 64 KiB; batch = 4; working_set = 512 KiB; order = random; reads = 50 %; threads = 2
}}
sweep blocks {{
  pattern = pages; tier = disk
  {axes}
  trials = 2; warmup = 20 ms; operations = 400; seed = 1
  ceiling = fio
  expect {expect}
}}
"""

needs_fio = pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")


@needs_fio
def test_a_ratio_in_every_row_and_in_the_table(tmp_path: Path) -> None:
    axes = "pages.op in [read, write, mixed]; disk.engine in [io_uring, threads]"
    text = TEXT.format(layout="file", axes=axes, expect="ceiling_ratio > 0")
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "run")
    assert len(rows) == 12
    for row in rows:
        assert row["ceiling_note"] is None
        assert row["ceiling_ratio"] == pytest.approx(row["throughput_bytes_per_s"] / row["ceiling_bytes_per_s"])
        assert row["ceiling_latency_p50_ns"] > 0
        engine = {"io_uring": "io_uring", "threads": "psync"}[row["axis.disk.engine"]]
        assert row["ceiling_tool"].startswith("fio-") and engine in row["ceiling_tool"]
    assert "of ceiling" in done.stdout
    assert len(list((tmp_path / "run/ceiling").iterdir())) == 12


@needs_fio
@pytest.mark.parametrize("layout", ["file", "lane"])
def test_it_writes_into_the_blocks_of_the_point_and_nowhere_else(tmp_path: Path, layout: str) -> None:
    lay_out = TEXT.format(layout=layout, axes="pages.op = read", expect="errors == 0").replace("512 KiB", "4 MiB")
    quiet = ["--set", "blocks.ceiling=none"]
    assert kvscen(tmp_path, "run", scenario(tmp_path, lay_out), "--out", "first", *quiet).returncode == 0
    before = _beyond(tmp_path, layout)
    text = TEXT.format(layout=layout, axes="pages.op in [write, mixed]", expect="errors == 0")
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["ceiling_note"] for row in trials(tmp_path / "second")} == {None}
    assert _beyond(tmp_path, layout) == before, "the same files, and the same bytes behind the point's blocks"


def _beyond(folder: Path, layout: str) -> dict[str, tuple[int, int, str]]:
    """Each file's inode, size, and what it holds behind the blocks of the smaller point."""
    names = ["blocks.data"] if layout == "file" else ["lanes/0.data", "lanes/1.data"]
    blocks = {"file": 512 << 10, "lane": 256 << 10}[layout]
    found = {}
    for name in names:
        path = folder / "kv" / name
        digest = hashlib.sha256(path.read_bytes()[blocks:]).hexdigest()
        found[name] = path.stat().st_ino, path.stat().st_size, digest
    return found


def test_without_fio_the_trials_are_ok_and_the_table_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = TEXT.format(layout="file", axes="pages.op = read", expect="errors == 0")
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "run", env={"PATH": str(tmp_path / "empty")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in trials(tmp_path / "run")] == ["ok", "ok"]
    assert "apt-get install fio" in " ".join(done.stdout.split())
    assert "of ceiling" not in done.stdout


def test_the_plan_counts_it(tmp_path: Path) -> None:
    text = TEXT.format(layout="file", axes="pages.op = read", expect="ceiling_ratio >= 0.9")
    done = kvscen(tmp_path, "plan", scenario(tmp_path, text.replace("operations = 400", "time = 150 ms")))
    assert "for the programs beside it (`ceiling`)" in " ".join(done.stdout.split())


def test_a_tier_without_a_peer_is_refused(tmp_path: Path) -> None:
    text = TEXT.format(layout="file", axes="pages.op = read", expect="errors == 0")
    text = text.replace('posix { path = "./kv"; direct = true; allow_buffered = true; layout = file }', "memory { }")
    done = kvscen(tmp_path, "lint", scenario(tmp_path, text))
    assert done.returncode == 2 and "KVS304" in done.stdout
