"""`kvscen export mlperf`: kv-cache.py's fields from our tables, worked out by hand, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from kvscen.cli.main import main
from kvscen.export.mlperf import FIELDS
from kvscen.export.trial import of_buckets
from kvscen.measure.histogram import Histogram
from kvscen.results.schema import TABLES, TRIALS
from tests.export.scene import CACHE, DISK, REPLAY, TRANSFER, scene
from tests.report.scenes import SCENES, Scene, lay_out

GOLDEN = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("KVSCEN_GOLDEN") == "write":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def export(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["export", "mlperf", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def one(*arguments: str, run: Scene | None = None, point: str = CACHE) -> dict[str, Any]:
    """The object of a point's first trial."""
    if not Path("runs/x").exists():
        lay_out(Path("runs/x"), run or scene())
    result = export("runs/x", "--point", point, "--trial", "1", *arguments)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_trial_as_kv_cache_py_writes_it() -> None:
    lay_out(Path("runs/x"), scene())
    check("trial.json", export("runs/x", "--point", CACHE, "--trial", "1", "--tier", "hbm=gpu").stdout)


def test_units_and_definitions() -> None:
    found = one("--tier", "hbm=gpu")
    summary = found["summary"]
    # 6,000 tokens in 2 s; 12 s of storage time of all requests.
    assert (found["total_storage_io_latency"], summary["elapsed_time"]) == (12.0, 2.0)
    assert summary["storage_throughput_tokens_per_sec"] == found["total_tokens_generated"] / 12.0 == 500
    assert summary["avg_throughput_tokens_per_sec"] == 6000 / 2.0
    assert summary["storage_io_latency_ms"]["mean"] == 12_000 / 100
    assert summary["end_to_end_latency_ms"]["mean"] == pytest.approx((60 * 10 + 40 * 20) / 100)
    assert summary["end_to_end_latency_ms"]["p95"] == 40 and summary["end_to_end_latency_ms"]["p99"] is None
    stats = summary["cache_stats"]
    # What nobody had before is not looked up in kv-cache.py.
    assert stats["cache_hits"] == 500 + 80 + 120 + 2300 and stats["cache_misses"] == 500 + 20 + 30
    assert stats["cache_hit_rate"] == 3000 / 3550
    assert (stats["multi_turn_hits"], stats["system_prompt_hits"], stats["user_cache_hits"]) == (500, 80, 2420)
    assert sum(stats[f"{n}_hits"] for n in ("multi_turn", "system_prompt", "user_cache")) == stats["cache_hits"]
    # MiB to GiB, and GiB/s.
    assert (stats["tier_gpu_kv_bytes_read_gb"], stats["tier_storage_kv_bytes_written_gb"]) == (2.0, 0.125)
    assert stats["tier_gpu_read_bandwidth_gbps"] == 1.0
    assert (stats["total_read_gb"], stats["total_write_bytes"]) == (3000 / 1024, 1000 << 20)
    assert stats["read_write_ratio"] == 3
    assert (stats["gpu_entries"], stats["cpu_memory_used_gb"], stats["offloads_storage"]) == (256, 0.5, 125)
    assert stats["storage_tokens_processed"] == (256 + 128) * 16
    assert (stats["gpu_read_p95_ms"], stats["cpu_read_p95_ms"], stats["storage_read_p95_ms"]) == (2, 4, 6)
    assert (stats["storage_write_p50_ms"], stats["storage_write_p95_ms"]) == (15, None)
    level = summary["qos_metrics"]["interactive"]
    assert level["sla"] == {"target_p95_ms": 50, "actual_p95_ms": None, "compliance": 0.95, "met": True}
    assert summary["qos_metrics"]["batch"]["sla"]["met"] is None
    assert summary["multi_turn_stats"] == {"cache_hits": 500, "cache_misses": 500, "hit_rate": 0.5}


def test_generating_is_in_the_latencies_there_and_not_in_ours() -> None:
    found = one(run=scene(generation="fast"))
    summary = found["summary"]
    # 6,000 tokens of 2 ms each.
    assert found["total_generation_latency"] == 12
    assert summary["generation_latency_ms"]["mean"] == 120 and summary["generation_latency_ms"]["p50"] is None
    assert summary["end_to_end_latency_ms"]["mean"] == pytest.approx(14 + 120)
    assert summary["end_to_end_latency_ms"]["p50"] is None
    level = summary["qos_metrics"]["interactive"]
    assert level["latency_ms"]["mean"] == pytest.approx(10 + 3000 * 2 / 60)
    assert level["latency_ms"]["max"] is None and level["sla"]["compliance"] is None and level["sla"]["met"] is None
    assert level["sla"]["target_p95_ms"] == 50


def test_what_stands_for_what_is_said() -> None:
    tiers = one("--tier", "hbm=gpu")["kvscen"]["tiers"]
    assert tiers["hbm"] == {"driver": "memory", "stands_for": "gpu", "said_by": "--tier"}
    assert tiers["dram"] == {"driver": "memory", "stands_for": "cpu", "said_by": "its driver"}
    assert tiers["nvme"]["stands_for"] == "storage"
    # Without a word both memories are the CPU's: their bytes are added up, their percentiles cannot be.
    found = one()
    stats = found["summary"]["cache_stats"]
    assert stats["gpu_entries"] == 0 and stats["gpu_read_p50_ms"] is None
    assert stats["cpu_entries"] == 256 + 512 and stats["tier_cpu_kv_bytes_read_gb"] == 2.5
    assert stats["cpu_read_p50_ms"] is None and stats["storage_read_p50_ms"] == 3
    assert "hbm and dram stand for cpu" in found["kvscen"]["notes"][0]


def test_a_tier_without_levels() -> None:
    found = one(point=DISK)
    stats = found["summary"]["cache_stats"]
    assert found["kvscen"]["tiers"] == {"disk": {"driver": "posix", "stands_for": "storage", "said_by": "its driver"}}
    assert (stats["tier_storage_kv_bytes_read_gb"], stats["storage_entries"]) == (3000 / 1024, 1500)
    assert stats["storage_read_p95_ms"] == pytest.approx(19.05, rel=0.01), "of the service, not of waiting for a place"
    assert stats["storage_read_p999_ms"] == pytest.approx(20, rel=0.01) and stats["storage_read_p9999_ms"] is None
    assert stats["storage_write_p50_ms"] == pytest.approx(2, rel=0.01) and stats["storage_write_p999_ms"] is None


def test_a_replay_has_no_tokens_and_no_users() -> None:
    found = one(point=REPLAY)
    summary = found["summary"]
    assert found["kvscen"]["pattern_type"] == "replay" and found["requests_completed"] == 100
    assert found["total_tokens_generated"] is None and summary["storage_throughput_tokens_per_sec"] is None
    assert found["multi_turn_cache_hits"] is None and summary["qos_metrics"] is None
    assert summary["cache_stats"]["cache_hit_rate"] == 0.75 and summary["requests_per_second"] == 50
    assert summary["end_to_end_latency_ms"] == {
        "mean": None, "p50": 12, "p95": 40, "p99": None, "p999": None, "p9999": None
    }  # fmt: skip


def paths(value: Any, at: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {at}
    return {path for key, below in value.items() for path in paths(below, f"{at}.{key}" if at else key)}


def test_every_field_is_there_whatever_is_known() -> None:
    whole, replayed = one(), one(point=REPLAY)
    assert paths(whole) - paths(replayed) == {path for path in paths(whole) if ".qos_metrics." in path} | {
        f"kvscen.tiers.{name}.{key}" for name in ("hbm", "dram", "nvme") for key in ("driver", "stands_for", "said_by")
    }
    # None of what the declaration calls null has a value, and of the others each has one here or could.
    flat = {path: value for path, value in _flat(whole) if not path.startswith("kvscen.")}
    for field in FIELDS:
        pattern = re.compile(
            re.sub(
                r"\\\{([^}]*)\\\}",
                lambda m: "[a-z]+" if m[1] == "users" else f"({m[1].replace(',', '|')})",
                re.escape(field.path),
            )
        )
        own = [value for path, value in flat.items() if pattern.fullmatch(path)]
        assert own, field.path
        if field.is_null:
            assert set(own) == {None}, field.path
        assert field.there and (field.here or field.source), field.path


def _flat(value: Any, at: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(at, value)]
    return [pair for key, below in value.items() for pair in _flat(below, f"{at}.{key}" if at else key)]


# kv-cache.py 3.0.1, as it was found in its files.
THERE = """
cache_hit_rate cache_hits cache_misses gpu_entries cpu_entries storage_entries gpu_memory_used_gb cpu_memory_used_gb
offloads_cpu offloads_storage storage_health prefill_writes decode_reads system_prompt_hits common_phrase_hits
user_cache_hits multi_turn_hits total_read_bytes total_write_bytes total_read_gb total_write_gb read_write_ratio
read_iops write_iops storage_tokens_processed
"""


def test_no_field_of_kv_cache_py_is_missing() -> None:
    found = one()
    top = set(found) - {"kvscen"}
    assert top == {
        *("requests_completed", "total_tokens_generated", "total_storage_io_latency", "total_generation_latency"),
        *("end_to_end_latencies", "storage_latencies", "generation_latencies", "throughput_timeline"),
        *("prefill_latencies", "decode_latencies", "multi_turn_cache_hits", "multi_turn_cache_misses", "seed"),
        *("summary", "device_latency_tracing", "fio_workload", "validation"),
    }
    assert set(found["summary"]) == {
        *("total_requests", "total_tokens", "elapsed_time", "avg_throughput_tokens_per_sec", "total_storage_io_time"),
        *("storage_throughput_tokens_per_sec", "requests_per_second", "end_to_end_latency_ms"),
        *("storage_io_latency_ms", "generation_latency_ms", "cache_stats", "qos_metrics", "prefix_cache_stats"),
        *("autoscaling_stats", "autoscaling_summary", "multi_turn_stats"),
    }
    tiers, operations, which = ("gpu", "cpu", "storage"), ("read", "write"), ("p50", "p95", "p99", "p999", "p9999")
    expected = {
        *THERE.split(),
        *(f"tier_{tier}_kv_bytes_{done}_gb" for tier in tiers for done in ("read", "written")),
        *(f"tier_{tier}_{operation}_bandwidth_gbps" for tier in tiers for operation in operations),
        *(f"{tier}_{operation}_{p}_ms" for tier in tiers for operation in operations for p in which),
        *(f"storage_{o}_{part}_{p}_ms" for o in operations for part in ("device", "host") for p in which),
    }
    assert set(found["summary"]["cache_stats"]) == expected
    assert set(found["summary"]["prefix_cache_stats"]) == {
        *("prefix_hits", "prefix_misses", "system_prompt_reuse", "common_phrase_reuse", "bytes_saved")
    }


def test_all_trials_that_are_ok() -> None:
    lay_out(Path("runs/x"), scene())
    result = export("runs/x")
    found = json.loads(result.stdout)
    assert [(each["kvscen"]["point_id"], each["kvscen"]["trial"]) for each in found] == [
        *((CACHE, 1), (CACHE, 2), (DISK, 1), (REPLAY, 1))
    ]
    assert f"trial 3 of {CACHE} is left out, it ended as incomplete: 438 of 549 operations completed" in result.stderr
    assert "trials did not run" in result.stderr
    only = json.loads(export("--point", REPLAY, "--point", DISK).stdout)
    assert [each["kvscen"]["point_id"] for each in only] == [REPLAY, DISK], "of the newest run, in the order asked for"


def test_a_run_that_was_killed() -> None:
    lay_out(Path("runs/x"), scene(), tables=False)
    lay_out(Path("runs/y"), scene())
    killed, whole = export("runs/x"), export("runs/y")
    assert json.loads(killed.stdout) == json.loads(whole.stdout)
    assert "read from the journal" in killed.stderr


def test_into_a_file_that_is_not_there_yet() -> None:
    lay_out(Path("runs/x"), scene())
    arguments = ("runs/x", "--point", CACHE, "--trial", "2", "--output", "results.json")
    assert export(*arguments).stdout == ""
    written = Path("results.json").read_text("utf-8")
    assert json.loads(written)["kvscen"]["trial"] == 2
    again = export(*arguments)
    assert again.exit_code == 2 and "results.json is there already" in again.stderr
    assert Path("results.json").read_text("utf-8") == written
    nowhere = export("runs/x", "--output", "no/such/folder.json")
    assert nowhere.exit_code == 2 and "cannot be written: No such file" in nowhere.stderr


def test_a_run_that_lacks_a_table_or_a_column() -> None:
    run = lay_out(Path("runs/x"), scene())
    tiers = pq.read_table(run / "tiers.parquet")
    pq.write_table(tiers.drop_columns([name for name in tiers.column_names if "_p95_" in name]), run / "tiers.parquet")
    stats = one()["summary"]["cache_stats"]
    assert (stats["storage_read_p50_ms"], stats["storage_read_p95_ms"]) == (3, None)
    (run / "tiers.parquet").unlink()
    result = export("runs/x")
    assert result.exit_code == 2 and "runs/x has no tiers.parquet" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says", "helps"),
    [
        (("typo",), "there is no folder typo", "runs/x"),
        (("runs/plain",), "no point of runs/plain is of users who converse or of a replay", "conversations"),
        (("runs/x", "--point", "nope"), "the point nope is not there in runs/x", f"{CACHE} (tier=cache)"),
        (("runs/x", "--point", TRANSFER), f"the point {TRANSFER} is of a transfer", DISK),
        (("runs/x", "--trial", "1"), "each of 3 points of runs/x has a trial 1", "--point"),
        (("runs/x", "--point", CACHE, "--trial", "7"), "has no trial 7", "1, 2, 3"),
        (("runs/x", "--point", CACHE, "--trial", "3"), "it ended as incomplete: 438 of 549", "run it again"),
        (("runs/x", "--tier", "hbn=gpu"), "no level of this run is called `hbn`", "`hbm`"),
        (("runs/x", "--tier", "hbm=hbm"), "a level stands for gpu, cpu, storage", "--tier hbm=gpu"),
        (("runs/x", "--tier", "hbm=gpu", "--tier", "hbm=cpu"), "stands for gpu already", "once"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], says: str, helps: str) -> None:
    lay_out(Path("runs/x"), scene())
    lay_out(Path("runs/plain"), SCENES["plain"]())
    os.utime("runs/plain/plan.json", ns=(1, 1))
    result = export(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    message, _, remedy = result.stderr.partition("\n  help: ")
    assert says in message and helps in remedy, result.stderr


def test_what_does_not_go_together() -> None:
    assert "--explain is about the fields" in export("--explain", "--trial", "1").stderr
    assert "--format is of --explain" in export("--format", "csv").stderr
    wrong = CliRunner().invoke(main, ["export", "mlpref"])
    assert wrong.exit_code == 2 and "did you mean `mlperf`?" in wrong.stderr


def test_explain() -> None:
    text = export("--explain").stdout
    check("explain.txt", text)
    assert max(map(len, text.splitlines())) <= 100
    rows = json.loads(export("--explain", "--format", "json").stdout)
    assert rows == list(csv.DictReader(io.StringIO(export("--explain", "--format", "csv").stdout)))
    assert [row["field"] for row in rows] == [field.path for field in FIELDS]


def test_sources_are_columns_of_ours() -> None:
    columns = {"trials": TRIALS, **TABLES}
    for field in FIELDS:
        for table, column in re.findall(r"\b(\w+)\.([a-z_0-9*]+)", field.source + " " + field.here):
            if table in columns and column != "parquet":
                names = [each.name for each in columns[table]]
                pattern = re.compile(column.replace("*", ".*"))
                assert any(pattern.fullmatch(name) for name in names), (field.path, table, column)


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=300), st.sampled_from(["p50", "p95", "p99"]))
def test_a_percentile_from_buckets_is_the_histograms(values: list[int], which: str) -> None:
    histogram = Histogram()
    histogram.add(np.array(values, np.int64))
    rows = [
        {"operation": "read", "unit": "block", "phase": "service", "lower_ns": lower, "upper_ns": upper, "count": count}
        for lower, upper, count in zip(*histogram.buckets(), strict=True)
    ]
    exact = histogram.percentile({"p50": 0.5, "p95": 0.95, "p99": 0.99}[which])
    found = of_buckets(rows, "read", "block", "service", which)
    assert (found is None) == (exact is None)
    if found is not None and exact is not None:
        assert abs(found - exact) <= 0.01 * exact + 1
    assert of_buckets(rows, "write", "block", "service", which) is None
