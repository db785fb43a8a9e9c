"""What happens to a run from outside: a worker is killed, the clock steps, disks fill up, its folder goes away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvscen.results.journal import read_journals
from tests.e2e.support import command, environment, kvscen, scenario, trials
from tests.faults.support import by_tier, small_disk, text
from tests.processes import gone

#: One tier, four trials, about two seconds.
SLOW = """kvs 1
tier disk : posix { path = "kv"; allow_buffered = true }
pattern pages : transfer { op = read; block = 16 KiB; batch = 4; working_set = 256 KiB }
sweep blocks {
  pattern = pages
  tier = disk
  trials = 4; warmup = 100 ms; time = 400 ms; timeout = 5 s; seed = 1
}
"""


def start(folder: Path, *arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", *arguments), cwd=folder, env=environment(env), stderr=subprocess.PIPE, text=True
    )


def workers_of(pid: int) -> list[int]:
    """The worker processes of a run, by its process number."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[1]) == pid and stat[0] != "Z" and b"kvscen.worker" in words:
            found.append(int(process.name))
    return found


def after_the_first_trial(process: subprocess.Popen[str]) -> str:
    """Waits for the line of the first trial on stderr; what was said until then."""
    assert process.stderr is not None
    said = ""
    while "[1/" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_trial(tmp_path: Path) -> None:
    process = start(tmp_path, scenario(tmp_path, SLOW), "--out", "out")
    after_the_first_trial(process)
    time.sleep(0.15)
    (worker,) = workers_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3 and "Traceback" not in errors, errors
    rows = trials(tmp_path / "out")
    assert Counter(row["status"] for row in rows) == {"ok": 3, "error": 1}
    (failed,) = [row for row in rows if row["status"] == "error"]
    assert "killed by SIGKILL" in str(failed["reason"])
    assert kvscen(tmp_path, "run", "test.kvs", "--resume", "out").returncode == 0
    assert Counter(row["status"] for row in trials(tmp_path / "out")) == {"ok": 4}


#: Every reading of the wall clock is up to a day off, in the conductor and in the workers.
STEPPING = """
import random, time
_now, _draw = time.time_ns, random.Random(1)
time.time_ns = lambda: _now() + _draw.randrange(-86_400, 86_400) * 10**9
time.time = lambda: time.time_ns() / 1e9
"""


@pytest.mark.slow
def test_durations_do_not_depend_on_the_wall_clock(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(STEPPING)
    path = scenario(tmp_path, SLOW)
    # The packages of this interpreter come first where it runs from a checkout.
    paths = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    done = kvscen(tmp_path, "run", path, "--out", "out", env={"PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "out")
    days = {int(str(row["started_unix_ns"])) // (3600 * 10**9) for row in rows}
    assert len(days) > 1, "the wall clock did not step"
    for row in rows:
        assert row["window_ns"] == 400_000_000
        speed = int(str(row["operations"])) * 16384 / 0.4
        assert row["throughput_bytes_per_s"] == pytest.approx(speed)
        assert 0 < int(str(row["latency_max_ns"])) < 10_000_000_000


@pytest.mark.slow
def test_a_run_folder_that_is_removed_leaves_no_worker_behind(tmp_path: Path) -> None:
    process = start(tmp_path, scenario(tmp_path, SLOW), "--out", "out")
    said = after_the_first_trial(process)
    workers = workers_of(process.pid)
    shutil.rmtree(tmp_path / "out")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, said + errors
    assert "Traceback" not in errors and "error:" in errors and "out" in errors, errors
    assert workers and all(gone(pid) for pid in workers)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", 1 << 20) as folder:
        yield folder


@pytest.mark.slow
def test_a_full_disk_under_the_run_folder_keeps_what_is_finished(tmp_path: Path, full: Path) -> None:
    process = start(tmp_path, scenario(tmp_path, SLOW), "--out", full / "out")
    said = after_the_first_trial(process)
    with pytest.raises(OSError), (full / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))
    _, errors = process.communicate(timeout=60)
    said += errors
    assert process.returncode == 3, said
    assert "Traceback" not in said and "error:" in said and "No space left" in said and str(full / "out") in said, said
    kept = [record for record in read_journals(full / "out") if record.status == "ok"]
    assert len(kept) >= 1
    (full / "ballast").unlink()
    assert kvscen(tmp_path, "show", full / "out").returncode == 0
    done = kvscen(tmp_path, "run", "test.kvs", "--resume", full / "out")
    assert done.returncode == 0, done.stderr
    rows = trials(full / "out")
    assert Counter(row["status"] for row in rows) == {"ok": 4}
    assert {record.started_unix_ns for record in kept} <= {row["started_unix_ns"] for row in rows}


@pytest.mark.slow
def test_a_full_disk_under_the_data(tmp_path: Path, full: Path) -> None:
    (full / "ballast").write_bytes(bytes((1 << 20) - (128 << 10)))
    path = scenario(tmp_path, text(full, tmp_path))
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 3, done.stderr
    rows = by_tier(trials(tmp_path / "out"))
    assert [row["status"] for row in rows["bad"]] == ["error", "error"]
    assert [row["status"] for row in rows["good"]] == ["ok", "ok"]
    reason = str(rows["bad"][0]["reason"])
    assert str(full / "kv") in reason and "are free" in reason and "256 KiB" in reason, reason
    (full / "ballast").unlink()
    assert kvscen(tmp_path, "run", path, "--resume", "out").returncode == 0
    assert Counter(row["status"] for row in trials(tmp_path / "out")) == {"ok": 4}
