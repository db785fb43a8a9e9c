"""`kvscen run` on `nixlbench` tiers, with the stand-in in the program's place, and without a program."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from kvscen_drivers.nixl import wheel
from tests.drivers.nixlbench.support import STAND_IN
from tests.e2e.support import ROOT, kvscen, scenario, trials

SWEEP = """kvs 1
tier bench : nixlbench {{ program = "{program}"; backend = POSIX; filepath = "./kv"; num_iter = 16 }}
pattern pages : transfer {{ batch = 4; op = read; wait = batch; block = 64 KiB }}
sweep s {{
  pattern = pages; tier = bench; seed = 1; trials = 3; timeout = 5 s
  pages.block in pow2(64 KiB, 512 KiB)
  expect errors == 0
  expect time_per_block > 0 s
}}
"""


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "run" / "tools").iterdir())


def test_a_sweep_is_one_run_in_each_trial(tmp_path: Path) -> None:
    scenario(tmp_path, SWEEP.format(program=STAND_IN))
    done = kvscen(tmp_path, "run", "test.kvs", "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "run")
    assert len(rows) == 12 and {row["status"] for row in rows} == {"ok"} and len(runs(tmp_path)) == 3
    assert {row["operations"] for row in rows} == {64} and {row["verified_bytes"] for row in rows} == {None}
    assert "through the page cache" in done.stdout and "kvscen has not seen the bytes" in done.stdout
    for folder in runs(tmp_path):
        assert {path.name for path in folder.iterdir()} == {"command.json", "stdout", "stderr"}


def test_a_crash_is_shown_and_resumed(tmp_path: Path) -> None:
    scenario(tmp_path, SWEEP.format(program=STAND_IN))
    crash = {"STAND_IN": json.dumps({"fail": "crash 2"})}
    done = kvscen(tmp_path, "run", "test.kvs", "--out", "run", env=crash)
    assert done.returncode == 3
    # A line of the report may break anywhere.
    shown = " ".join(done.stdout.split())
    assert "nixlbench ended with a crash (SIGSEGV) after 2 rows" in shown and "3 ok" in shown
    resumed = kvscen(tmp_path, "run", "test.kvs", "--resume", "run")
    assert resumed.returncode == 0, resumed.stdout
    assert {row["status"] for row in trials(tmp_path / "run")} == {"ok"}


def test_it_need_not_be_installed(tmp_path: Path) -> None:
    scenario(tmp_path, SWEEP.format(program="no-nixlbench-here"))
    done = kvscen(tmp_path, "run", "test.kvs", "--out", "run")
    assert done.returncode == 0, done.stdout
    rows = trials(tmp_path / "run")
    assert {row["status"] for row in rows} == {"unavailable"} and len(rows) == 12
    assert "`posix` and `nixl` measure the same here" in str(rows[0]["reason"])


def test_a_hang_costs_its_points_once(tmp_path: Path) -> None:
    scenario(
        tmp_path,
        SWEEP.format(program=STAND_IN).replace("timeout = 5 s", "timeout = 500 ms; warmup = 0 s; time = 50 ms"),
    )
    began = time.monotonic()
    hang = {"STAND_IN": json.dumps({"fail": "hang"})}
    done = kvscen(tmp_path, "run", "test.kvs", "--out", "run", env=hang)
    assert done.returncode == 3 and time.monotonic() - began < 20
    assert [row["status"] for row in trials(tmp_path / "run")] == ["hang"] * 12 and len(runs(tmp_path)) == 1


@pytest.mark.parametrize("name", ["llama70b_posix", "llama8b_posix", "deepseek_r1_posix"])
def test_the_shipped_scenarios_run_without_nixlbench(tmp_path: Path, name: str) -> None:
    path = ROOT / "scenarios" / "kvbench" / f"{name}.kvs"
    short = ("--set", "blocks.trials=1", "--set", "blocks.operations=20", "--set", "blocks.warmup=10 ms")
    small = ("--set", "pages.prompt=32 tokens", "--set", "pages.requests=1", "--set", "bench.program=no-nixlbench-here")
    done = kvscen(tmp_path, "run", path, *short, *small, "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "run")
    statuses = {
        driver: [row["status"] for row in rows if row["driver"] == driver] for driver in ("posix", "nixl", "nixlbench")
    }
    nixl = "ok" if wheel.package() else "unavailable"
    assert statuses == {"posix": ["ok"] * 2, "nixl": [nixl] * 2, "nixlbench": ["unavailable"] * 2}


def test_the_examples_of_kvbench_run_without_nixlbench(tmp_path: Path) -> None:
    absent = ("--set", "files.program=no-nixlbench-here")
    done = kvscen(tmp_path, "run", ROOT / "scenarios" / "kvbench" / "deepseek_r1_gds.kvs", *absent, "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "run")
    assert len(rows) == 15 and {row["status"] for row in rows} == {"unavailable"}
