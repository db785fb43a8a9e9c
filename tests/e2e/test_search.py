"""Searches as a user runs them: the answer, resumed runs, candidates that fail, and what is left in the tables."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from kvscen.results.journal import read_journals
from kvscen.testing.fake import register
from tests.e2e.support import ROOT, command, environment, kvscen, scenario, trials

# 1024 blocks a second, and 300; 15 candidates each, of which a search takes 4.
SEARCH = """kvs 1
tier fast : sim { bandwidth = 1 GiB/s;   latency = 5 ms; parallelism = 64 }
tier slow : sim { bandwidth = 300 MiB/s; latency = 1 ms; parallelism = 64 }
pattern pages : transfer { block = 1 MiB; op = read; working_set = 64 MiB; depth = 64 }
sweep capacity {
  pattern = pages
  tier in [fast, slow]
  pages.rate in linear(100 /s, 1500 /s, 15)
  find highest pages.rate where latency_p50 <= 20 ms
  trials = 3; time = 1 s; warmup = 0 s; verify = off; seed = 1
  expect errors == 0
}
"""


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run / f"{table}.parquet").to_pylist()
    return found


def answers(run: Path) -> dict[str, tuple[str, float, float]]:
    return {row["others"]: (row["outcome"], row["value"], row["next_value"]) for row in rows(run, "searches")}


FOUND = {"tier=fast": ("found", 1000.0, 1100.0), "tier=slow": ("found", 300.0, 400.0)}


def test_a_search_prints_its_answer_and_leaves_it_in_the_tables(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", scenario(tmp_path, SEARCH), "--out", "out")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "out"
    assert answers(run) == FOUND
    assert "searches  22 points not needed, and not run" in done.stdout
    assert "tier=fast  1000 /s  latency_p50 " in done.stdout and "did not run" not in done.stdout
    assert "[24/at most 24]" in done.stderr
    assert Counter(row["status"] for row in trials(run)) == {"ok": 24}
    assert kvscen(tmp_path, "show", "out").stdout == done.stdout
    assert len(rows(run, "verdicts")) == 8, "nothing is expected of points that were not needed"
    candidates = Counter((row["others"], row["status"]) for row in rows(run, "candidates"))
    assert candidates["tier=fast", "not_needed"] == candidates["tier=slow", "not_needed"] == 11
    goodput = duckdb.sql(
        f"select others, measured from read_parquet('{run}/candidates.parquet') c "
        f"join read_parquet('{run}/searches.parquet') s using (run_id, others, point_id, measured) order by 1"
    ).fetchall()
    assert [others for others, _ in goodput] == ["tier=fast", "tier=slow"]
    shown = json.loads(kvscen(tmp_path, "show", "out", "--format", "json").stdout)
    assert (shown["points_planned"], shown["points_not_needed"], shown["trials_ended"]) == (30, 22, 24)
    assert [search["value_text"] for search in shown["searches"]] == ["1000 /s", "300 /s"]
    assert [len(search["points"]) for search in shown["searches"]] == [15, 15]
    assert len(kvscen(tmp_path, "show", "out", "--format", "csv").stdout.splitlines()) == 25


def test_the_plan_says_how_many_points_it_takes_at_most(tmp_path: Path) -> None:
    shown = kvscen(tmp_path, "plan", scenario(tmp_path, SEARCH)).stdout
    assert "find highest pages.rate where latency_p50 <= 20 ms: at most 4 of 15 points, at tier = fast" in shown
    assert "points   30, at most 8 of them run; 24 trials" in shown
    assert "time     what it takes to compute: the clock is virtual" in shown
    found = json.loads(kvscen(tmp_path, "plan", "test.kvs", "--format", "json").stdout)
    assert [search["points_at_most"] for search in found["searches"]] == [4, 4]
    assert found["cost"]["load_ns"] == 0
    assert len(kvscen(tmp_path, "plan", "test.kvs", "--format", "csv").stdout.splitlines()) == 31
    # Of tiers on this machine's clock it is the time of the trials that may run.
    real = scenario(tmp_path, re.sub(r": sim *\{[^}]*\}", ": memory { }", SEARCH), "real.kvs")
    found = json.loads(kvscen(tmp_path, "plan", real, "--format", "json").stdout)
    assert found["cost"]["load_ns"] == 24 * 10**9


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_any_moment_and_the_search_goes_on(tmp_path: Path, seed: int) -> None:
    path = scenario(tmp_path, SEARCH)
    with (tmp_path / "stderr").open("w") as errors:
        process = subprocess.Popen(command("run", path, "--out", "out"), cwd=tmp_path, env=environment(), stderr=errors)
        wanted, deadline = random.Random(seed).randrange(1, 20), time.monotonic() + 60
        while (tmp_path / "stderr").read_text().count(": ok") < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
    kept = {(record.point_id, record.trial): record.started_unix_ns for record in read_journals(tmp_path / "out")}
    assert len(kept) >= wanted
    shown = kvscen(tmp_path, "show", "out").stdout
    assert "its searches have no answers yet" in shown and "--resume out" in shown
    done = kvscen(tmp_path, "run", path, "--resume", "out")
    assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "out") == FOUND
    found = {(row["point_id"], row["trial"]): row["started_unix_ns"] for row in trials(tmp_path / "out")}
    assert len(found) == 24 and {key: found[key] for key in kept} == kept, "what was measured was measured again"
    # At its end there is nothing to do.
    again = kvscen(tmp_path, "run", path, "--resume", "out")
    assert again.returncode == 0 and again.stdout == done.stdout and ": ok" not in again.stderr


def test_the_shipped_scenario_finds_what_its_page_says(tmp_path: Path) -> None:
    """The computed tier comes out the same on every machine, Poisson arrivals and all."""
    done = kvscen(tmp_path, "run", ROOT / "scenarios" / "goodput.kvs", "--set", "goodput.tier=store", "--out", "out")
    assert done.returncode == 0, done.stderr
    page = " ".join((ROOT / "docs" / "search.md").read_text().split())
    rate, knee = rows(tmp_path / "out", "searches")
    said = f"{rate['value_text']} latency_p99 {rate['measured'] / 1e6:.2f} ms; "
    said += f"at {rate['next_value_text']}: {rate['next_measured'] / 1e6:.2f} ms; 4 of 13 points measured"
    assert f"tier=store {said}" in page and said in " ".join(done.stdout.split())
    assert (knee["value"], knee["next_value"], knee["candidates_measured"]) == (4, 8, 5)


BAD = """kvs 1
tier cache : fake {{ latency = 100 us }}
pattern pages : transfer {{ op = read; block = 4 KiB; working_set = 64 KiB; depth = 4 }}
sweep capacity {{
  pattern = pages; tier = cache; time = 100 ms; warmup = 0 s; trials = 2; timeout = 2 s; seed = 1; verify = off
  (pages.batch, cache.fault, cache.after) in [(1, none, 0), (2, none, 0), (3, {fault}, {after}), (4, none, 0)]
  find highest pages.batch where throughput > 1 B/s
}}
"""


@pytest.mark.parametrize(
    ("fault", "after", "code", "reason"),
    [
        ("hang_reap", 50, 3, "2 of 2 trials hang: "),
        ("error", 7, 3, "2 of 2 trials error: "),
        ("unavailable", 0, 0, "2 of 2 trials unavailable: "),
    ],
)
def test_a_candidate_that_fails_is_beyond_the_border(
    tmp_path: Path, fault: str, after: int, code: int, reason: str
) -> None:
    path = scenario(tmp_path, BAD.format(fault=fault, after=after))
    done = kvscen(tmp_path, "run", path, "--out", "out", env={"PYTHONPATH": str(register(tmp_path / "plugin"))})
    assert done.returncode == code, done.stdout + done.stderr
    assert answers(tmp_path / "out") == {"": ("found", 2.0, 3.0)}
    (bad,) = (row for row in rows(tmp_path / "out", "candidates") if row["value"] == 3)
    assert bad["status"] == "not_kept" and bad["reason"].startswith(reason)
    assert f"at 3: {reason}" in " ".join(done.stdout.split())


def test_a_pin_measures_one_candidate_and_says_that_nothing_is_searched(tmp_path: Path) -> None:
    done = kvscen(tmp_path, "run", scenario(tmp_path, SEARCH), "--set", "pages.rate=700 /s", "--out", "out")
    assert done.returncode == 0 and "KVS128" in done.stderr
    assert rows(tmp_path / "out", "searches") == [] and len(trials(tmp_path / "out")) == 6
    assert "searches" not in done.stdout
