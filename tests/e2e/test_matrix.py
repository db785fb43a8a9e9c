"""A matrix from its files to its tables, with processes of this machine as ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.drivers.nixl.support import needs_nixl
from tests.e2e.support import ROOT, kvscen, scenario, trials

TEXT = """kvs 1
tier shared : memory { }
pattern traffic : matrix { files = ["in/a.txt", "in/b.txt"]; compute = [1 ms, 2 ms] }
sweep steps {
  pattern = traffic; tier = shared
  traffic.mode in [isolated, sequence]
  trials = 2; warmup = 5 ms; operations = 40; seed = 1
  expect errors == 0
}
"""
A, B = "0 64K 1\n0 0 1M\n0 0 0\n", "0 0 0\n0 0 0\n7 8K 0\n"
BYTES = [(64 << 10) + 1 + (1 << 20), 7 + (8 << 10)]


def lay_out(folder: Path) -> Path:
    (folder / "in").mkdir()
    (folder / "in" / "a.txt").write_text(A)
    (folder / "in" / "b.txt").write_text(B)
    return scenario(folder, TEXT)


def test_from_files_to_tables(tmp_path: Path) -> None:
    path = lay_out(tmp_path)
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    rows = trials(out)
    assert [(row["status"], row["traffic_mode"]) for row in rows] == [("ok", "isolated")] * 2 + [("ok", "sequence")] * 2
    for row in rows:
        assert (row["processes"], row["traffic_steps"], row["traffic_transfers"]) == (3, 2, 5)
        assert row["traffic_bytes"] == row["verified_bytes"] == sum(BYTES)
        assert row["block_bytes"] is None and row["path"] == "shm" and row["cpu_ns"]
    assert pq.read_table(out / "workers.parquet")["rank"].to_pylist() == [0, 1, 2] * 4
    steps = pq.read_table(out / "steps.parquet").to_pylist()
    assert [(step["trial"], step["step"], step["bytes"]) for step in steps[:4]] == [
        (trial, number, BYTES[number]) for trial in (1, 2) for number in (0, 1)
    ]
    assert [step["compute_ns"] for step in steps] == [None] * 4 + [1_000_000, 2_000_000] * 2
    # What it was made from is kept.
    assert (out / "uses" / "in" / "a.txt").read_text() == A
    shown = json.loads(kvscen(tmp_path, "show", "out", "--format", "json").stdout)
    assert [step["bytes"] for step in shown["points"][1]["steps"]] == BYTES
    assert kvscen(tmp_path, "show", "out").stdout == done.stdout
    # With another matrix it is another plan.
    (tmp_path / "in" / "b.txt").write_text(B.replace("8K", "9K"))
    other = kvscen(tmp_path, "run", path, "--resume", "out")
    assert other.returncode == 2 and "2 of its points are not in that run" in other.stderr, other.stderr


def test_problems_name_the_cell(tmp_path: Path) -> None:
    path = lay_out(tmp_path)
    (tmp_path / "in" / "b.txt").write_text("0 0 0\n0 0 1.x\n0 0 0\n")
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 2 and "in/b.txt:2:5" in done.stderr and "KVS220" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_nixl
@pytest.mark.parametrize("name", ["traffic", "traffic_files"])
def test_the_shipped_scenarios_run(tmp_path: Path, name: str) -> None:
    path = ROOT / "scenarios" / "kvbench" / f"{name}.kvs"
    done = kvscen(tmp_path, "run", path, "--set", "steps.time=100 ms", "--set", "steps.trials=1", "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["status"] for row in trials(tmp_path / "out")} == {"ok"}
