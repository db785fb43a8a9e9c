"""Conversations from a scenario to the tables, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.support import kvscen, scenario, trials

TEXT = """kvs 1
tier upper : memory { }
tier lower : memory { }
tier cache : tiered { levels = [upper, lower]; capacities = [64 KiB, 256 KiB] }
users talkers : chat {
  context = uniform(20 tokens, 200 tokens); output = 24 tokens; think = uniform(0 s, 1 ms); system = 40 tokens
  target_p95 = 1 ns; target_p99 = 10 s
}
users coders : code { context = 300 tokens; think = 0 s; documents = 2; document = 64 tokens; rag = 50 % }
pattern day : conversations { block = 1 KiB; mix = [talkers, coders]; users = 4; requests = 60 }
sweep s {
  pattern = day
  tier in [cache, lower]
  trials = 3; seed = 1
  expect history_hit_rate > 10 %
  expect qos_missed == 1
  expect wall_tokens > 1 tokens/s
  expect request_wait_p50 < 1 s
  expect generated > 1440 tokens
}
"""
WORK = ("sequence", "lookups", "hits", "prefix_hits", "reads", "writes", "moved_bytes", "asked_tokens")


def test_from_users_to_tables(tmp_path: Path) -> None:
    path = scenario(tmp_path, TEXT)
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "95 % of the requests are to be within it" in done.stdout and "history, what its conversation" in done.stdout
    rows = trials(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok"] * 6, rows[0]["reason"]
    cache, plain = rows[:3], rows[3:]
    for own in (cache, plain):
        assert len({tuple(row[name] for name in WORK) for row in own}) == 1, "three trials do the same work"
        assert (own[0]["requests"], own[0]["users"], own[0]["page_tokens"], own[0]["batch"]) == (60, 4, 16, None)
        assert own[0]["verified_bytes"] == own[0]["hits"] * 1024  # type: ignore[operator]
        assert own[0]["operations"] == own[0]["reads"] + own[0]["writes"]  # type: ignore[operator]
        assert own[0]["request_latency_p50_ns"] is not None and own[0]["delay_p99_ns"] is not None
    # A tier that keeps all finds all that was there before.
    assert plain[0]["history_hit_rate"] == 1.0 and cache[0]["history_hit_rate"] < 1
    users = pq.read_table(tmp_path / "out" / "users.parquet").to_pylist()
    assert [(row["users"], row["qos_met"]) for row in users[:2]] == [("talkers", False), ("coders", None)]
    assert users[0]["within_p95_share"] == 0 and users[0]["within_p99_share"] == 1
    for row in (*rows, *users):
        assert 0 <= row["order_wait_share"] <= 1
        if row["order_wait_p50_ns"] is not None:
            assert row["order_wait_p50_ns"] <= row["request_wait_p50_ns"]
    assert "for the order: the share of the latency" in " ".join(done.stdout.split())
    found = pq.read_table(tmp_path / "out" / "found.parquet").to_pylist()
    own = [row for row in found if row["trial"] == 1 and row["point_id"] == cache[0]["point_id"]]
    assert sum(row["hits"] for row in own if row["tier"] is None) == cache[0]["hits"]
    assert sum(row["hits"] for row in own if row["tier"] is not None) == cache[0]["hits"]
    levels = [row for row in pq.read_table(tmp_path / "out" / "tiers.parquet").to_pylist() if row["to_tier"] is None]
    at = pq.read_table(tmp_path / "out" / "occupancy.parquet").to_pylist()
    for level in levels:
        seen = [r["occupancy_bytes"] for r in at if (r["trial"], r["tier"]) == (level["trial"], level["tier"])]
        assert max(seen) <= level["capacity_bytes"] and seen[-1] == level["occupancy_bytes"]
    shown = json.loads(kvscen(tmp_path, "show", "out", "--format", "json").stdout)
    assert [each["users"] for each in shown["points"][0]["users"]] == ["talkers", "coders"]
    assert shown["points"][0]["settings"]["talkers.output"] == "24 tokens"
    # With another seed it is other work at the same points.
    assert kvscen(tmp_path, "run", path, "--set", "s.seed=2", "--set", "s.trials=1", "--out", "two").returncode == 0
    again = trials(tmp_path / "two")
    assert [row["point_id"] for row in again] == [cache[0]["point_id"], plain[0]["point_id"]]
    assert again[0]["sequence"] != cache[0]["sequence"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("phases = decode", "reads"),
        ("phases = prefill; history = none", "writes"),
        ("decode_reads = as_kv_cache_py; generation = none; history = none", "both"),
        ("rate = 2000 /s", "both"),
        ("tpot = 10 us; users = 9", "both"),
    ],
)
def test_ways_to_converse(tmp_path: Path, settings: str, says: str) -> None:
    text = TEXT[: TEXT.index("  expect")].replace("users = 4;", "users = 4;" if "users" not in settings else "")
    text = text.replace("requests = 60 }", f"requests = 40; {settings} }}").replace("trials = 3", "trials = 1") + "}\n"
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    for row in trials(tmp_path / "out"):
        assert row["status"] == "ok", row["reason"]
        if says == "reads" and row["tier"] == "lower":
            assert row["writes"] == 0 and row["hit_rate"] == 1
        elif says == "writes":
            assert row["reads"] < row["writes"]
        else:
            assert row["reads"] and row["writes"]
    if "kv_cache_py" in settings:
        # Each entry is written once, and read once more and for every 32 tokens.
        plain = trials(tmp_path / "out")[1]
        assert plain["reread_hit_rate"] == 1 and plain["reads"] > plain["writes"]


def test_turns_from_a_trace(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "x" * 400}, {"from": "gpt", "value": "y" * 100}]
    (tmp_path / "chats.json").write_text(json.dumps([{"id": "a", "conversations": talk * 3}]))
    text = TEXT[: TEXT.index("  expect")] + "}\n"
    text = text.replace("requests = 60 }", 'requests = 6; trace = trace("chats.json") }').replace(
        "trials = 3", "trials = 1"
    )
    path = scenario(tmp_path, text)
    done = kvscen(tmp_path, "run", path, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    (first, _) = trials(tmp_path / "out")
    assert first["generated_tokens"] == 6 * 25
    (tmp_path / "chats.json").write_text("[]")
    wrong = kvscen(tmp_path, "plan", path)
    assert wrong.returncode == 2 and "KVS230" in wrong.stderr and "no trace that kvscen knows" in wrong.stderr


def test_an_order_for_a_slow_storage_is_said_to_cost(tmp_path: Path) -> None:
    """Simulated, so the same everywhere: with the order of a storage as fast as this one nobody waits much."""
    text = """kvs 1
tier fast : sim { bandwidth = 10 GB/s; latency = 10 us; parallelism = 8 }
pattern day : conversations { block = 64 KiB; users = 12; requests = 60 }
sweep s { pattern = day; tier = fast; trials = 1; seed = 1; day.order_for in [50 MB/s, 5 GB/s] }
"""
    done = kvscen(tmp_path, "run", scenario(tmp_path, text), "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "over 10 % of what requests waited is due to their order" in " ".join(done.stdout.split())
    shares = {row["axis.day.order_for"]: row["order_wait_share"] for row in trials(tmp_path / "out")}
    slow, fast = (shares[order] for order in sorted(shares))  # type: ignore[type-var]
    assert slow > 0.9 > 0.3 > fast  # type: ignore[operator]
