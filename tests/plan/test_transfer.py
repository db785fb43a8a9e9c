"""The pattern `transfer`: its sizes and what cannot stand together."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.semantics.support import HEAD, plan, problems, sweep

MODEL = """kvs 1
use models
model m : llama3_1_8b { kv_dtype = fp8 }
tier disk : ssd { path = "/d" }
"""


def of_model(settings: str) -> str:
    return MODEL + f"pattern pages : transfer {{ model = m; op = read; {settings} }}\n" + sweep("tier = disk", "")


def test_defaults() -> None:
    [point] = plan(sweep("tier = disk")).points
    work = point.work
    assert (work.block_bytes, work.batch, work.keys, work.requests) == (1 << 20, 1, 1, 1)
    assert (work.order, work.wait, work.depth, work.threads, work.processes) == ("sequential", "operation", None, 1, 1)
    assert (work.warmup_ns, work.time_ns, work.operations, work.timeout_ns) == (
        500_000_000,
        5_000_000_000,
        None,
        30 * 10**9,
    )
    assert (work.verify, work.seed, work.memory, work.rate_per_s) == ("full", 0, "dram", None)
    assert point.trials == 5
    assert plan(sweep("tier = disk; operations = 10")).points[0].work.time_ns is None


@pytest.mark.parametrize(("op", "share"), [("read", 1), ("write", 0), ("mixed", Fraction(7, 10))])
def test_read_share(op: str, share: Fraction) -> None:
    reads = "; pages.reads = 70 %" if op == "mixed" else ""
    assert plan(sweep(f"tier = disk; pages.op = {op}{reads}")).points[0].work.read_share == share


def test_working_set_is_rounded_down_to_whole_blocks() -> None:
    [point] = plan(sweep("tier = disk; pages.working_set = 10 MiB; pages.block = 3 MiB; pages.batch = 16")).points
    assert (point.work.keys, point.work.working_set_bytes, point.work.batch) == (3, 9 << 20, 16)


def test_pages_are_rounded_up_for_each_request() -> None:
    [point] = plan(of_model("prompt = 17 tokens; requests = 10")).points
    assert point.work.batch == 20
    [point] = plan(of_model("prompt = 16 tokens; output = 1 tokens; page = 8 tokens")).points
    assert (point.work.batch, point.work.block_bytes) == (3, 8 * 65536)


def test_rate_and_arrival() -> None:
    [point] = plan(sweep("tier = disk; pages.rate = 100 /s")).points
    assert (point.work.rate_per_s, point.work.arrival) == (100, "constant")
    assert point.pattern.settings.arrival == "constant"
    [point] = plan(sweep("tier = disk")).points
    assert point.pattern.settings.arrival is None


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ("prompt = 1 tokens; block = 1 MiB", ["KVS203"]),
        ("prompt = 1 tokens; block = 1 MiB; batch = 2", ["KVS203", "KVS203"]),
        ("page = 16 tokens", ["KVS113"]),
        ("prompt = 9000000000000000000 tokens", ["KVS107"]),
        ("prompt = 0 tokens", ["KVS105"]),
    ],
)
def test_what_cannot_stand_together(settings: str, codes: list[str]) -> None:
    assert [d.code for d in problems(of_model(settings))] == codes


def test_nothing_is_moved() -> None:
    text = HEAD.replace("block = 1 MiB; ", "") + sweep("tier = disk", "")
    assert [d.code for d in problems(text)] == ["KVS113"]
    assert [d.code for d in problems(sweep("tier = disk; pages.rate = 0 /s"))] == ["KVS105"]
