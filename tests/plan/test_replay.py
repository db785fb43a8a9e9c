"""The pattern `replay` from its text and its trace to points."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path

import pytest

from kvscen.language.check import check_source
from kvscen.language.diagnose import Source
from kvscen.plan.cost import plan_cost
from kvscen.plan.expand import Expanded, expand
from kvscen.plan.point import Point
from kvscen.plan.render import plan_json, plan_table
from kvscen.plugin.registry import registry
from kvscen.report.table import plain_text
from kvscen.trace import open_trace, write_parquet
from kvscen.trace.requests import read_requests

TEXT = """kvs 1
model m : gqa {{ layers = 2; kv_heads = 8; head_dim = 4; kv_dtype = fp16 }}
model w : gqa {{ layers = 2; kv_heads = 8; head_dim = 4; kv_dtype = fp16; window = 128 tokens }}
model h : hybrid {{ parts = [m, w] }}
tier dram : memory {{ }}
tier cache : tiered {{ levels = [dram]; capacities = [8 MiB] }}
tier bench : nixlbench {{ backend = POSIX; filepath = "/d" }}
pattern p : replay {{ trace = trace("requests.jsonl"); {pattern} }}
sweep s {{ pattern = p; tier = {tier}; trials = 2; seed = 1; {sweep} }}
"""
#: (ms, ids of blocks)
REQUESTS = [(0, [7, 9]), (100, [7, 9, 4]), (400, [9, 4, 11])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "requests.jsonl", REQUESTS)
    return tmp_path


def write(path: Path, requests: list[tuple[int, list[int]]]) -> None:
    records = [
        {"timestamp": ms, "input_length": 512 * len(ids), "output_length": 1, "hash_ids": ids} for ms, ids in requests
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def expanded(folder: Path, pattern: str, sweep: str = "", tier: str = "cache") -> Expanded:
    text = TEXT.format(pattern=pattern, sweep=sweep, tier=tier)
    checked = check_source(Source(str(folder / "test.kvs"), text), folder)
    assert checked.scenario is not None, checked.diagnostics
    return expand(checked.scenario)


def points(folder: Path, pattern: str, sweep: str = "", tier: str = "cache") -> tuple[Point, ...]:
    found = expanded(folder, pattern, sweep, tier)
    assert found.plan is not None, found.diagnostics
    return found.plan.points


def said(folder: Path, pattern: str, sweep: str = "", tier: str = "cache") -> list[tuple[str, str]]:
    return [(each.code, each.message) for each in expanded(folder, pattern, sweep, tier).diagnostics]


def test_the_numbers_of_a_point(folder: Path) -> None:
    (point,) = points(folder, "block = 4 KiB", tier="dram")
    work, replay = point.work, point.work.replay
    assert replay is not None
    assert (replay.requests, replay.lookups, replay.block_tokens, replay.users) == (3, 8, 512, 1)
    assert (work.block_bytes, work.keys, work.working_set_bytes, work.depth) == (4096, 4, 4 * 4096, 32)
    assert work.read_share == Fraction(4, 8)
    assert work.time_ns is None and work.operations is None and work.warmup_ns == 0
    (fewer,) = points(folder, "block = 4 KiB; requests = 1; speed = 2")
    assert fewer.work.keys == 2 and fewer.work.replay is not None
    assert (fewer.work.replay.requests, fewer.work.replay.users, fewer.work.replay.lasts_ns) == (1, None, 0)
    (timed,) = points(folder, "block = 4 KiB; speed = 2")
    assert timed.work.replay is not None and timed.work.replay.lasts_ns == 200 * 10**6


def test_a_block_has_the_kv_of_its_tokens(folder: Path) -> None:
    (point,) = points(folder, "model = m")
    # 2 layers x 8 KV heads x 4 x (K and V) x 2 bytes, 512 tokens.
    assert point.work.block_bytes == 2 * 8 * 4 * 2 * 2 * 512
    # As they stand in the table of trials, whatever the pattern does not say itself.
    shown = plan_json(expanded(folder, "model = m").plan)["points"][0]  # type: ignore[arg-type]
    assert (shown["page_tokens"], shown["requests"], shown["trace_lookups"], shown["users"]) == (512, 3, 8, 1)
    assert "s.seed" in shown["settings"] and not {"s.time", "s.warmup"} & set(shown["settings"])
    assert shown["read_share"] is None and shown["batch"] is None and shown["op"] == "mixed"


def test_blocks_are_numbered_as_they_come(folder: Path) -> None:
    requests = read_requests(folder / "requests.jsonl")
    assert requests.keys.tolist() == [0, 1, 0, 1, 2, 1, 2, 3]
    assert requests.offsets.tolist() == [0, 2, 5, 8]
    first = requests.first(2)
    assert (first.keys.tolist(), first.distinct, len(first)) == ([0, 1, 0, 1, 2], 3, 2)


def test_what_is_in_the_trace_makes_the_point(folder: Path) -> None:
    one = points(folder, "block = 4 KiB")[0].id
    with gzip.open(folder / "other.gz", "wb") as other:
        other.write((folder / "requests.jsonl").read_bytes())
    trace = open_trace(folder / "requests.jsonl")
    write_parquet(folder / "made.parquet", trace.about, trace.batches())
    digests = {read_requests(folder / name).digest() for name in ("requests.jsonl", "other.gz", "made.parquet")}
    assert len(digests) == 1
    write(folder / "requests.jsonl", [*REQUESTS[:2], (400, [9, 4, 12])])
    # Another id, the same requests: nobody can tell them apart.
    assert points(folder, "block = 4 KiB")[0].id == one
    write(folder / "requests.jsonl", [*REQUESTS[:2], (400, [9, 4, 7])])
    assert points(folder, "block = 4 KiB")[0].id != one


@pytest.mark.parametrize(
    ("pattern", "sweep", "tier", "code", "words"),
    [
        ("", "", "cache", "KVS113", "how large a block is"),
        ("block = 4 KiB; model = m", "", "cache", "KVS203", "both say how large"),
        ("model = h", "", "cache", "KVS207", "keep different tokens"),
        ("block = 4 KiB; users = 2; speed = 10", "", "cache", "KVS114", "both say when a request begins"),
        ("block = 4 KiB; speed = 0", "", "cache", "KVS105", "speed of zero"),
        ("block = 4 KiB; requests = 4", "", "cache", "KVS231", "the trace has 3 requests"),
        ("block = 4 KiB; page = 16 tokens", "", "cache", "KVS230", "blocks of 512 tokens, not of 16"),
        ("block = 4 KiB", "time = 1 s", "cache", "KVS114", "`time` has no meaning"),
        ("block = 4 KiB", "warmup = 1 s", "cache", "KVS114", "`warmup` has no meaning"),
        ("block = 4 KiB", "operations = 10", "cache", "KVS114", "`operations` has no meaning"),
        ("block = 4 KiB", "precondition = 2", "cache", "KVS114", "`precondition` has no meaning"),
        ("block = 4 KiB", "", "bench", "KVS302", "cannot do a `replay`"),
    ],
)
def test_what_cannot_be_replayed(folder: Path, pattern: str, sweep: str, tier: str, code: str, words: str) -> None:
    ((found, message),) = said(folder, pattern, sweep, tier)
    assert found == code and words in message


def test_a_trace_that_is_not_there(folder: Path) -> None:
    (folder / "requests.jsonl").unlink()
    ((code, message),) = said(folder, "block = 4 KiB")
    assert code == "KVS230" and "No such file" in message


def test_lengths_alone(folder: Path) -> None:
    (folder / "requests.jsonl").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,33,4\n2023-11-16 18:15:50.99,16,1\n"
    )
    (found,) = expanded(folder, "block = 4 KiB").diagnostics
    assert found.code == "KVS230" and found.help == "give it with `page`"
    assert [code for code, _ in said(folder, "block = 4 KiB; page = 16 tokens")] == ["KVS231"]
    (point,) = points(folder, "block = 4 KiB; page = 16 tokens", tier="dram")
    assert point.work.keys == 4 and point.work.read_share == 0


def test_texts_have_no_times(folder: Path) -> None:
    talk = [{"from": "human", "value": "a" * 100}, {"from": "gpt", "value": "b" * 40}]
    (folder / "requests.jsonl").write_text(json.dumps([{"id": "x", "conversations": talk}]))
    ((code, message),) = said(folder, "block = 4 KiB; speed = 10")
    assert code == "KVS231" and "when its requests came" in message
    (point,) = points(folder, "block = 4 KiB; page = 8 tokens")
    assert point.work.replay is not None and point.work.replay.block_tokens == 8


def test_what_the_plan_shows(folder: Path) -> None:
    plan = expanded(folder, "block = 1 MiB; speed = 10").plan
    assert plan is not None
    cost = plan_cost(plan, registry())
    own = cost.points[0]
    assert (own.measured_operations, own.layout_bytes, own.verify_bytes) == (8, 4 << 20, 8 << 20)
    assert own.load_ns == 2 * 40 * 10**6
    shown = plain_text(plan_table(plan, cost), 160)
    for words in ("requests", "look-ups", "speed", "16 MiB in measured windows"):
        assert words in shown, shown


def test_a_simulated_cache_costs_nothing_but_computing(folder: Path) -> None:
    text = TEXT.replace("tier dram : memory", "tier dram : sim").replace(
        "{{ }}", "{{ bandwidth = 1 GB/s; latency = 1 us; parallelism = 4 }}", 1
    )
    checked = check_source(
        Source(str(folder / "t.kvs"), text.format(pattern="block = 4 KiB", sweep="", tier="cache")), folder
    )
    assert checked.scenario is not None, checked.diagnostics
    plan = expand(checked.scenario).plan
    assert plan is not None and plan.points[0].tier.virtual and plan.points[0].tier.levels[0].virtual
    cost = plan_cost(plan, registry())
    (own,) = cost.points
    assert (own.layout_bytes, own.verify_bytes, own.load_ns, own.memory_bytes) == (0, 0, 0, 0)
    assert "what it takes to compute" in plain_text(plan_table(plan, cost), 160)
