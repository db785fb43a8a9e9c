"""`kvscen run` from a text to tables: exit codes, folders, interruption, kill -9, resume."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.results.journal import read_journals
from kvscen.testing.fake import register
from tests.e2e.support import MEMORY, command, environment, kvscen, scenario, trials

FAKE = """kvs 1
tier bad  : fake {{ fault = {fault}; after = {after}; latency = 100 us }}
tier good : fake {{ latency = 100 us }}
pattern pages : transfer {{ op = read; block = 4 KiB; batch = 4; working_set = 64 KiB }}
sweep blocks {{
  pattern = pages
  tier in [bad, good]
  trials = 2; warmup = 10 ms; operations = 400; timeout = 2 s; seed = 1
  expect {expect}
}}
"""


def test_a_run_leaves_a_folder_that_any_tool_reads(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", scenario(tmp_path), fresh=True)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert "iB/s" in done.stdout
    assert str(run.relative_to(tmp_path)) in done.stdout
    for name in ("trials", "latency", "timeline", "tiers", "steps", "workers", "verdicts", "searches", "candidates"):
        assert (run / f"{name}.parquet").exists()
    assert (run / "scenario.kvs").read_text() == MEMORY
    rows = duckdb.sql(f"select * from read_parquet('{tmp_path}/runs/*/trials.parquet', union_by_name=true)").fetchall()
    assert len(rows) == 12
    assert Counter(row["status"] for row in trials(run)) == {"ok": 12}
    plan = json.loads(kvscen(tmp_path, "plan", "test.kvs", "--format", "json", fresh=True).stdout)
    assert {p["point_id"] for p in plan["points"]} == {row["point_id"] for row in trials(run)}
    assert kvscen(tmp_path, "show", fresh=True).stdout == done.stdout


@pytest.mark.parametrize(
    ("fault", "after", "expect", "code", "statuses"),
    [
        ("none", 0, "errors == 0", 0, {"ok": 4}),
        ("unavailable", 0, "errors == 0", 0, {"ok": 2, "unavailable": 2}),
        ("none", 0, "throughput >= 900 GiB/s", 1, {"ok": 4}),
        ("hang_reap", 120, "errors == 0", 3, {"ok": 2, "hang": 2}),
        ("swapped", 20, "throughput >= 900 GiB/s", 3, {"ok": 2, "corrupt": 2}),
    ],
)
def test_the_exit_code_says_how_it_ended(
    tmp_path: Path, fault: str, after: int, expect: str, code: int, statuses: dict[str, int]
) -> None:
    path = scenario(tmp_path, FAKE.format(fault=fault, after=after, expect=expect))
    done = kvscen(tmp_path, "run", path, "--out", "out", env={"PYTHONPATH": str(register(tmp_path / "plugin"))})
    assert done.returncode == code, done.stdout + done.stderr
    assert Counter(row["status"] for row in trials(tmp_path / "out")) == statuses


def _first_trial_ended(process: subprocess.Popen[str]) -> None:
    """What lint warns of comes before."""
    assert process.stderr is not None
    assert any("trial 1: ok" in line for line in process.stderr)


def test_ctrl_c_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvscen.cli.lint.files", interrupted)
    done = CliRunner().invoke(main, ["lint", "scenarios"])
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


def test_one_ctrl_c_keeps_everything_and_resume_goes_on(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    process = subprocess.Popen(
        command("run", path, "--out", "out"), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    _first_trial_ended(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    statuses = Counter(row["status"] for row in trials(tmp_path / "out"))
    assert statuses["interrupted"] == 1 and statuses["ok"] >= 1
    done = kvscen(tmp_path, "run", path, "--resume", "out")
    assert done.returncode == 0, done.stderr
    assert Counter(row["status"] for row in trials(tmp_path / "out")) == {"ok": 12}


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment_loses_no_finished_trial(tmp_path: Path, seed: int) -> None:
    path = scenario(tmp_path)
    log = tmp_path / "stderr"
    with log.open("w") as errors:
        process = subprocess.Popen(command("run", path, "--out", "out"), cwd=tmp_path, env=environment(), stderr=errors)
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "journal.arrows").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(random.Random(seed).uniform(0.2, 2.0))
        process.kill()
        process.wait()
    announced = sum(": ok" in line for line in log.read_text().splitlines())
    kept = read_journals(tmp_path / "out")
    assert len(kept) >= announced and all(record.status == "ok" for record in kept)
    assert kvscen(tmp_path, "show", "out").returncode == 0
    before = {(record.point_id, record.trial): record.started_unix_ns for record in kept}
    done = kvscen(tmp_path, "run", path, "--resume", "out")
    assert done.returncode == 0, done.stderr
    rows = trials(tmp_path / "out")
    assert Counter((row["point_id"], row["trial"]) for row in rows).most_common(1)[0][1] == 1
    assert len(rows) == 12 and {row["status"] for row in rows} == {"ok"}
    for row in rows:
        known = before.get((str(row["point_id"]), int(str(row["trial"]))))
        assert known in (None, row["started_unix_ns"]), "a trial that was ok ran again"


def test_resume_refuses_another_plan(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    assert kvscen(tmp_path, "run", path, "--out", "out", "--set", "blocks.trials=1").returncode == 0
    done = kvscen(tmp_path, "run", path, "--resume", "out")
    assert done.returncode == 2
    assert "plan" in done.stderr and "error:" in done.stderr


def test_a_folder_that_holds_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    done = kvscen(tmp_path, "run", scenario(tmp_path), "--out", "out")
    assert done.returncode == 2 and "not empty" in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_same_seed_gives_the_same_plan_and_order(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    for out in ("a", "b"):
        assert kvscen(tmp_path, "run", path, "--out", out).returncode == 0
    assert (tmp_path / "a" / "plan.json").read_text() == (tmp_path / "b" / "plan.json").read_text()
    order = [{(r["point_id"], r["trial"]): r["trial_order"] for r in trials(tmp_path / out)} for out in ("a", "b")]
    assert order[0] == order[1]


def test_a_run_folder_that_goes_away_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("run", scenario(tmp_path), "--out", "out"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    _first_trial_ended(process)
    shutil.rmtree(tmp_path / "out")
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors and "error:" in errors, errors
    assert process.returncode == 3
