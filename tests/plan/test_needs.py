"""What a plan asks of a machine."""

from __future__ import annotations

from pathlib import Path

from kvscen.lint import lint_file
from kvscen.plan.needs import Needs, PathNeed, needs, paths_of
from kvscen.plugin.registry import registry
from tests.semantics.support import HEAD, REGISTRY, plan, sweep

MIB = 1 << 20


def of(text: str) -> Needs:
    return needs([plan(text)], REGISTRY)


def test_points_on_one_folder_share_it() -> None:
    found = of(sweep("tier = disk; pages.batch in [10, 100]; pages.threads in [1, 4]; pages.op in [read, write]"))
    assert found.paths == (PathNeed("/d", ("disk",), 100 * MIB, True),)
    assert (found.working_set_bytes, found.lanes, found.drivers) == (100 * MIB, 4, {"ssd"})
    assert len(found.tiers) == 1


def test_two_tiers_on_one_folder_share_it_and_direct_io_wins() -> None:
    head = HEAD + 'tier slow : ssd { path = "/d"; direct = false }\n'
    found = of(head + sweep("tier in [disk, slow]; pages.batch = 10", ""))
    assert found.paths == (PathNeed("/d", ("disk", "slow"), 10 * MIB, True),)
    assert len(found.tiers) == 2


def test_levels_are_asked_for_too() -> None:
    text = HEAD + "tier cache : stack { levels = [dram, disk] }\n" + sweep("tier = cache; pages.batch = 10", "")
    found = of(text)
    assert [path.path for path in found.paths] == ["/d"]
    assert {tier.name for tier in found.tiers} == {"cache", "dram", "disk"}
    assert paths_of(plan(text)) == ["/d"]


def test_nothing_is_needed_without_a_scenario() -> None:
    assert needs([], REGISTRY) == Needs()


def test_several_scenarios_need_the_most_of_either() -> None:
    small, large = (plan(sweep(f"tier = disk; pages.batch = {batch}")) for batch in (1, 50))
    assert needs([small, large], REGISTRY).paths[0].disk_bytes == 50 * MIB


def test_the_folder_of_a_tool_that_calls_it_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "tool.kvs"
    path.write_text("""kvs 1
tier bench : nixlbench { backend = POSIX; filepath = "./kv"; storage_enable_direct = true }
pattern pages : transfer { block = 1 MiB; batch = 10; op = read; wait = batch }
sweep s { pattern = pages; tier = bench; seed = 1 }
""")
    found = lint_file(path).plan
    assert found is not None
    [need] = needs([found], registry()).paths
    assert (need.path, need.disk_bytes, need.direct) == ("./kv", 10 << 20, True)
