"""Ranks that write to each other's memory by NIXL."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kvscen_drivers.nixl import wheel
from tests.drivers.nixl.support import needs_nixl
from tests.e2e.support import kvscen, scenario, trials

TEXT = """kvs 1
tier shared : memory {{ }}
tier ucx    : nixl {{ backend = UCX{settings} }}
pattern traffic : matrix {{ files = ["a.txt", "b.txt"]; compute = 1 ms }}
sweep steps {{
  pattern = traffic
  tier in [shared, ucx]
  traffic.mode in [isolated, sequence]
  trials = 1; warmup = 10 ms; operations = 40; seed = 1; timeout = 20 s
  expect errors == 0
}}
"""
#: Rank 0 sends to itself too, and in the second step everybody sends to everybody else.
A, B = "4K 1M 0\n0 0 333\n0 0 0\n", "0 1 2\n3 0 4\n5K 6K 0\n"
BYTES = [(4 << 10) + (1 << 20) + 333, 10 + (11 << 10)]


@needs_nixl
@pytest.mark.alone  # what others send over the loopback device stands in its counter
@pytest.mark.parametrize("settings", ["", '; env = ["UCX_TLS=tcp"]', "; recreate = true; max_in_flight = 1"])
def test_every_byte_arrives_and_every_step_is_measured(tmp_path: Path, settings: str) -> None:
    (tmp_path / "a.txt").write_text(A)
    (tmp_path / "b.txt").write_text(B)
    done = kvscen(tmp_path, "run", scenario(tmp_path, TEXT.format(settings=settings)), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "out")
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["verified_bytes"] for row in rows} == {sum(BYTES)} == {row["traffic_bytes"] for row in rows}
    of_nixl = [row for row in rows if row["driver"] == "nixl"]
    for row in of_nixl:
        assert row["nixl_version"] == wheel.version() and row["transfers"] and row["post_mean_ns"]
        # Whoever else uses the loopback meanwhile stands in its counter too.
        assert row["path"] in (("tcp",) if "tcp" in settings else ("shm", "mixed")), row["path_evidence"]
        # Requests are posted again, unless each is to be made.
        assert row["requests_made"] == (row["transfers"] if "recreate" in settings else 0)
    steps = pq.read_table(tmp_path / "out" / "steps.parquet").to_pylist()
    assert len(steps) == 2 * len(rows)
    for step in steps:
        assert step["bytes"] == BYTES[step["step"]] and step["passes"] >= 1 and step["errors"] == 0
        assert 0 < step["latency_min_ns"] <= step["latency_median_ns"] <= step["latency_max_ns"]
        assert (step["senders"], step["receivers"], step["transfers"]) == [(2, 3, 3), (3, 3, 6)][step["step"]]
    moved = {row["point_id"]: row["logical_bytes"] for row in rows}
    for point, nbytes in moved.items():
        own = [step for step in steps if step["point_id"] == point]
        assert sum(step["bytes"] * step["passes"] for step in own) == nbytes
    assert "isolated" in done.stdout and "in sequence" in done.stdout


def test_without_nixl_its_points_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(A)
    (tmp_path / "b.txt").write_text(B)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name.startswith('nixl_') else found(name, *more)\n"
    )
    path = scenario(tmp_path, TEXT.format(settings=""))
    done = kvscen(tmp_path, "run", path, "--out", "out", env={"PYTHONPATH": str(hidden)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(row["driver"], row["status"]) for row in trials(tmp_path / "out")}
    assert found == {("memory", "ok"), ("nixl", "unavailable")}
