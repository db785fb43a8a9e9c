"""From a scenario to kv-cache.py's JSON, as a user gets it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.support import kvscen, scenario, trials

TEXT = """kvs 1
tier hbm   : memory { }
tier dram  : memory { }
tier cache : tiered { levels = [hbm, dram]; capacities = [64 KiB, 2 MiB] }
users interactive : custom {
  context = uniform(100 tokens, 200 tokens); output = 90 tokens; think = 0 s; target_p95 = 10 s
}
users batch : interactive { weight = 3; target_p95 = 1 ns }
pattern chats : conversations {
  block = 4 KiB; mix = [interactive, batch]; users = 4; requests = 60; history = none; decode_reads = as_kv_cache_py
}
sweep s { pattern = chats; tier in [cache, dram]; trials = 3; seed = 1 }
"""


def test_the_load_of_kv_cache_py_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = kvscen(tmp_path, "run", scenario(tmp_path, TEXT), "--out", "runs/x")
    assert done.returncode == 0, done.stdout + done.stderr
    exported = kvscen(tmp_path, "export", "mlperf", "--tier", "hbm=gpu", "--output", "out.json")
    assert exported.returncode == 0 and exported.stdout == "", exported.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    rows = trials(tmp_path / "runs/x")
    assert [(each["kvscen"]["point_id"], each["kvscen"]["trial"]) for each in found] == [
        (row["point_id"], row["trial"]) for row in rows
    ]
    for each, row in zip(found, rows, strict=True):
        summary = each["summary"]
        stats = summary["cache_stats"]
        assert each["requests_completed"] == 60 and each["total_tokens_generated"] == 60 * 90
        assert summary["storage_throughput_tokens_per_sec"] == pytest.approx(5400 / summary["total_storage_io_time"])
        assert summary["avg_throughput_tokens_per_sec"] == pytest.approx(5400 / summary["elapsed_time"])
        assert summary["storage_io_latency_ms"]["mean"] * 60 == pytest.approx(summary["total_storage_io_time"] * 1000)
        # An entry is written once, and read once more and for every 32 of 90 tokens.
        assert stats["decode_reads"] == 4 * stats["prefill_writes"] and stats["read_write_ratio"] == 4
        assert stats["user_cache_hits"] == stats["decode_reads"] and stats["cache_hit_rate"] == 1
        assert summary["end_to_end_latency_ms"]["p50"] == row["request_latency_p50_ns"] / 1e6  # type: ignore[operator]
        qos = summary["qos_metrics"]
        assert (qos["interactive"]["sla"]["met"], qos["batch"]["sla"]["met"]) == (True, False)
        assert qos["interactive"]["total_requests"] + qos["batch"]["total_requests"] == 60
    cache, plain = found[0]["summary"]["cache_stats"], found[3]["summary"]["cache_stats"]
    assert found[0]["kvscen"]["tiers"]["hbm"]["stands_for"] == "gpu" and plain["gpu_entries"] == 0
    assert cache["gpu_entries"] == 16 and cache["gpu_read_p95_ms"] is not None
    # What requests read and write, and what is read above to be written below.
    moved = sum(
        row["demoted_bytes"]
        for row in pq.read_table(tmp_path / "runs/x" / "tiers.parquet").to_pylist()
        if row["to_tier"] and (row["point_id"], row["trial"]) == (rows[0]["point_id"], 1)
    )
    assert moved > 0 and cache["tier_cpu_kv_bytes_written_gb"] * (1 << 30) == moved
    for which in ("read", "written"):
        whole = sum(cache[f"tier_{tier}_kv_bytes_{which}_gb"] for tier in ("gpu", "cpu", "storage"))
        asked = cache["total_read_bytes" if which == "read" else "total_write_bytes"]
        assert whole * (1 << 30) == asked + moved
    assert plain["tier_cpu_kv_bytes_read_gb"] == plain["total_read_gb"]
    assert plain["cpu_entries"] == plain["prefill_writes"] == plain["offloads_cpu"]
    again = kvscen(tmp_path, "export", "mlperf", "--output", "out.json")
    assert again.returncode == 2 and "out.json is there already" in again.stderr
