"""How many bytes a plan says that it will write."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.lint import lint_file
from kvscen.plan.cost import plan_cost
from kvscen.plan.render import summary
from kvscen.plan.writes import TierWrites
from kvscen.plugin.registry import registry
from tests.semantics.support import HEAD, REGISTRY, plan, sweep

MIB = 1 << 20


def writes(text: str) -> tuple[TierWrites, ...]:
    """Of 10 blocks of 1 MiB and 5 trials of 5 s after 0.5 s, unless the text says otherwise."""
    return plan_cost(plan(sweep(f"tier = disk; pages.batch = 10; {text}")), REGISTRY).writes


def test_a_read_is_written_once_for_its_layout_and_once_for_its_verification() -> None:
    [found] = writes("pages.op = read")
    assert found == TierWrites("disk", 10 * MIB, 10 * MIB, 0, 0, 0, False)
    assert found.least_bytes == 20 * MIB


def test_a_write_goes_on_for_its_time() -> None:
    [found] = writes("pages.op = write")
    assert (found.trial_bytes, found.open_ns) == (5 * 10 * MIB, 5 * 5_500_000_000)


def test_counted_operations_are_known_and_their_warm_up_is_not() -> None:
    [found] = writes("pages.op = write; operations = 1000; warmup = 1 s")
    assert (found.trial_bytes, found.open_ns) == (5 * 1000 * MIB, 5 * 10**9)
    [found] = writes("pages.op = write; operations = 1000; warmup = 0 s")
    assert found.open_ns == 0


def test_a_rate_is_known_with_its_warm_up() -> None:
    [found] = writes("pages.op = write; pages.rate = 100 /s; time = 2 s; warmup = 1 s")
    assert (found.trial_bytes, found.open_ns) == (5 * 300 * MIB, 0)


def test_mixed_operations_count_by_their_share() -> None:
    [found] = writes("pages.op = mixed; pages.reads = 70 %; operations = 100; warmup = 0 s")
    assert found.verify_bytes == 13 * MIB
    assert found.trial_bytes == 5 * 30 * MIB


def test_preconditioning_and_no_verification() -> None:
    [found] = writes("pages.op = read; precondition = 2; verify = off")
    assert (found.precondition_bytes, found.verify_bytes, found.least_bytes) == (20 * MIB, 0, 30 * MIB)


def test_waiting_for_a_steady_state_may_last_as_long_as_the_cap() -> None:
    [found] = writes("pages.op = write; until = steady; time = 1 s; warmup = 0 s; cap = 20 s; trials = 1")
    assert found.open_ns == 21 * 10**9


def test_points_on_one_tier_share_the_layout_only() -> None:
    [found] = writes("pages.op in [read, write]")
    assert (found.layout_bytes, found.verify_bytes) == (10 * MIB, 20 * MIB)


def test_tiers_without_a_disk_are_left_out() -> None:
    assert plan_cost(plan(sweep("tier = dram; pages.op = write")), REGISTRY).writes == ()


def test_what_a_cache_sends_down_is_not_known() -> None:
    text = HEAD + "tier cache : stack { levels = [dram, disk] }\n" + sweep("tier = cache; pages.op = write", "")
    found = plan(text)
    cost = plan_cost(found, REGISTRY)
    assert cost.writes == ()
    assert "writes   what cache sends down to its levels, which is not known before it runs" in summary(found, cost)


def test_it_is_said_with_its_parts() -> None:
    found = plan(sweep("tier = disk; pages.batch = 10; pages.op = write; precondition = 1"))
    [line] = [line for line in summary(found, plan_cost(found, REGISTRY)) if line.startswith("writes")]
    assert line == (
        "writes   at least 80 MiB to disk (10 MiB layout, less what is there, 10 MiB verification, "
        "10 MiB preconditioning, 50 MiB trials, a batch each), and what it takes in 27.5 s of write load, "
        "27.5 GiB at 1 GiB/s"
    )


def test_json(tmp_path: Path) -> None:
    scenario = tmp_path / "s.kvs"
    scenario.write_text(
        'kvs 1\ntier disk : posix { path = "./kv" }\npattern p : transfer { block = 1 MiB; batch = 4; op = write }\n'
        "sweep s { pattern = p; tier = disk; seed = 1; operations = 8; warmup = 0 s; trials = 2 }\n"
    )
    shown = json.loads(CliRunner().invoke(main, ["plan", str(scenario), "--format", "json"]).stdout)
    assert shown["cost"]["writes"] == [
        {
            "tier": "disk",
            "layout_bytes": 4 * MIB,
            "verify_bytes": 4 * MIB,
            "precondition_bytes": 0,
            "trial_bytes": 16 * MIB,
            "open_ns": 0,
            "again": False,
            "least_bytes": 24 * MIB,
        }
    ]
    assert "here" not in shown


def test_a_tool_lays_out_its_data_in_each_trial_and_nobody_verifies_it(tmp_path: Path) -> None:
    path = tmp_path / "tool.kvs"
    path.write_text("""kvs 1
tier bench : nixlbench { backend = POSIX; filepath = "./kv" }
pattern pages : transfer { block = 1 MiB; batch = 10; op = write; wait = batch }
sweep s { pattern = pages; tier = bench; seed = 1; operations = 100; warmup = 0 s; pages.op in [write, read] }
""")
    found_plan = lint_file(path).plan
    assert found_plan is not None
    cost = plan_cost(found_plan, registry())
    [found] = cost.writes
    assert found == TierWrites("bench", 0, 0, 0, 5 * (110 + 10) * MIB, 0, False)
    assert [(own.layout_bytes, own.verify_bytes, own.disk_bytes) for own in cost.points] == [(0, 0, 10 * MIB)] * 2
