"""Replays from a scenario and a trace to the tables, as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.support import ROOT, kvscen, scenario, trials
from tests.traces import FOLDER, TRACES, counted

TEXT = """kvs 1
tier upper : memory {{ }}
tier lower : memory {{ }}
tier cache : tiered {{ levels = [upper, lower]; capacities = [16 KiB, 32 KiB] }}
pattern p : replay {{ trace = trace("in/requests.jsonl"); block = 1 KiB; {pattern} }}
sweep s {{
  pattern = p
  tier in [cache, lower]
  trials = 3; seed = 1
  expect hit_rate > 10 %
  expect prefix_hit_rate > 1 %
  expect request_rate > 1 /s
}}
"""
WORK = ("sequence", "lookups", "hits", "prefix_hits", "misses", "reads", "writes", "moved_bytes")


def lay_out(folder: Path, pattern: str = "users = 3", count: int = 120) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    records = [
        {
            "timestamp": 3 * number,
            "input_length": 1536,
            "output_length": 4,
            "hash_ids": [number % 9, 10 + (7 * number) % 23, 40 + number % 31],
        }
        for number in range(count)
    ]
    (folder / "in" / "requests.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return scenario(folder, TEXT.format(pattern=pattern))


def test_from_a_trace_to_tables(tmp_path: Path) -> None:
    path = lay_out(tmp_path)
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "prefix" in done.stdout and "hit rate: blocks found / blocks looked up" in done.stdout
    rows = trials(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok"] * 6
    cache, plain = rows[:3], rows[3:]
    for own in (cache, plain):
        assert len({tuple(row[name] for name in WORK) for row in own}) == 1, "three trials do the same work"
        assert own[0]["lookups"] == own[0]["trace_lookups"] == 360 and own[0]["requests"] == 120
        assert (own[0]["users"], own[0]["speed"], own[0]["time_ns"], own[0]["batch"]) == (3, None, None, None)
        assert own[0]["verified_bytes"] == own[0]["hits"] * 1024  # type: ignore[operator]
    assert cache[0]["sequence"] != plain[0]["sequence"]
    assert plain[0]["hits"] == 360 - plain[0]["keys"]  # type: ignore[operator]
    levels = [row for row in pq.read_table(tmp_path / "out" / "tiers.parquet").to_pylist() if row["to_tier"] is None]
    assert sum(row["hits"] for row in levels if row["trial"] == 1) == cache[0]["hits"]
    assert "replay a trace" in kvscen(tmp_path, "size", path).stderr
    # Others' times, the same work.
    timed = scenario(tmp_path, TEXT.format(pattern="speed = 10; depth = 2"), "timed.kvs")
    assert kvscen(tmp_path, "run", timed, "--set", "s.trials=1", "--out", "timed").returncode == 0
    again = trials(tmp_path / "timed")
    assert [tuple(row[name] for name in WORK) for row in again] == [
        tuple(row[name] for name in WORK) for row in (cache[0], plain[0])
    ]
    assert (again[0]["speed"], again[0]["users"]) == (10, None)
    assert again[0]["load_latency_p50_ns"] is not None and again[0]["ttft_p50_ns"] is None
    computed = scenario(tmp_path, TEXT.format(pattern="users = 3; prefill = 1000 tokens/s"), "computed.kvs")
    assert kvscen(tmp_path, "run", computed, "--set", "s.trials=1", "--out", "computed").returncode == 0
    with_prefill = trials(tmp_path / "computed")[0]
    assert [with_prefill[name] for name in WORK] == [cache[0][name] for name in WORK]
    # At least a block of 512 tokens is missing in most requests.
    assert with_prefill["ttft_p50_ns"] >= 512 * 10**6 > with_prefill["load_latency_p50_ns"]  # type: ignore[operator]
    # With another trace it is another plan.
    lay_out(tmp_path, count=119)
    other = kvscen(tmp_path, "run", path, "--resume", "out")
    assert other.returncode == 2 and "2 of its points are not in that run" in other.stderr, other.stderr


def test_the_shipped_scenario_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scenarios" / "traces", tmp_path / "traces")
    shutil.copy(ROOT / "scenarios" / "replay.kvs", tmp_path)
    done = kvscen(tmp_path, "run", "replay.kvs", "--set", "policies.trials=1", "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["status"] for row in trials(tmp_path / "out")} == {"ok"}


TALK = """kvs 1
tier fast  : sim { bandwidth = 100 GB/s; latency = 1 us; parallelism = 8 }
tier slow  : sim { bandwidth = 5 GB/s; latency = 50 us; parallelism = 8 }
tier dram  : memory { }
tier mix   : tiered { levels = [fast, slow]; capacities = [256 KiB, 1 MiB]; eviction = lru_tail_first }
tier real  : tiered { levels = [dram]; capacities = [1 MiB]; eviction = lru }
users quick : chat { think = 0 s }
pattern chats : conversations {
  block = 1 KiB; page = 64 tokens; users = 5; requests = 60
  decode_reads = as_kv_cache_py; generation = fast; prefill = 5000 tokens/s
}
pattern hasty : chats { mix = [quick]; generation = none }
sweep s { pattern = chats; tier = mix; seed = 1; trials = 1 }
sweep r { pattern = hasty; tier in [real, dram]; seed = 1; trials = 1 }
"""


def test_a_prediction_is_what_a_run_gives(tmp_path: Path) -> None:
    """To the digit: of simulated tiers all of it, of real ones what is found."""
    shutil.copytree(ROOT / "scenarios" / "traces", tmp_path / "traces")
    for name in ("sizing.kvs", "replay.kvs"):
        shutil.copy(ROOT / "scenarios" / name, tmp_path)
    scenario(tmp_path, TALK, "talk.kvs")
    all_pins = {"sizing.kvs": "chats.speed=8", "replay.kvs": "policies.trials=1", "talk.kvs": "s.verify=off"}
    for name, pin in all_pins.items():
        pins = ["--set", pin]
        done = kvscen(tmp_path, "run", name, *pins, "--out", f"out-{name}")
        assert done.returncode == 0, done.stdout + done.stderr
        before = sorted(tmp_path.iterdir())
        predicted = kvscen(tmp_path, "predict", name, *pins, "--format", "json")
        assert predicted.returncode == 0, predicted.stderr
        assert sorted(tmp_path.iterdir()) == before, "it leaves nothing behind"
        points = {point["point_id"]: point for point in json.loads(predicted.stdout)["points"]}
        rows = trials(tmp_path / f"out-{name}")
        assert len(rows) == len(points) == 3
        for row in rows:
            point = points[str(row["point_id"])]
            assert point["timed"] == (row["path"] == "simulated")
            shared = [key for key, value in point.items() if key in row and value is not None]
            assert len(shared) > (25 if point["timed"] else 15)
            assert {key: row[key] for key in shared} == {key: point[key] for key in shared}
            table = pq.read_table(tmp_path / f"out-{name}" / "tiers.parquet").to_pylist()
            hits = [each["hits"] for each in table if each["point_id"] == row["point_id"] and each["to_tier"] is None]
            assert hits == [level["hits"] for level in point["levels"]]


#: Capacities of which the independent simulator counted: shares of the unique blocks, None: no limit.
SHARES = ("1%", "10%", "50%", None)


@pytest.mark.long
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("trace", TRACES)
def test_hits_of_a_real_run_are_those_of_an_independent_simulator(
    tmp_path: Path, trace: str, share: str | None
) -> None:
    """Real levels and moves, with blocks of 64 bytes. Of the agentic trace a point takes two to three minutes."""
    reference = counted(trace)
    count = None if share is None else reference["lru"][share]
    blocks = reference["unique_blocks"] if count is None else count["forward"]["capacity_blocks"]
    capacity = "" if count is None else f"; capacities = [{64 * blocks} B]"
    path = scenario(
        tmp_path,
        f"""kvs 1
tier dram : memory {{ }}
tier cache : tiered {{ levels = [dram]{capacity} }}
pattern p : replay {{ trace = trace("{FOLDER / trace}"); block = 64 B; users = 8 }}
sweep s {{
  pattern = p; tier = cache; trials = 1; seed = 1; verify = off
  cache.eviction in [lru, lru_tail_first]
}}
""",
    )
    done = kvscen(tmp_path, "run", path, "--out", "out", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["axis.cache.eviction"]: row for row in trials(tmp_path / "out")}
    for eviction, direction in (("lru", "forward"), ("lru_tail_first", "reverse")):
        row = rows[eviction]
        assert row["lookups"] == reference["block_lookups"]
        if count is None:
            expected = (reference["infinite_hit_any"], reference["infinite_hit_prefix"])
            evicted = 0
        else:
            expected = (count[direction]["hit_any"], count[direction]["hit_prefix"])
            evicted = count[direction]["evictions"]
        assert (row["hits"], row["prefix_hits"]) == expected
        assert row["writes"] - blocks == evicted  # type: ignore[operator]
