"""`use`: files, the catalogue, and names across files."""

from __future__ import annotations

from pathlib import Path

from kvscen.language.check import Checked, check_file
from kvscen.plan.expand import make_plan
from tests.semantics.support import REGISTRY, shown

MAIN = """kvs 1
use "parts/team.kvs"
sweep s : common { tier = disk }
"""
TEAM = """kvs 1
use "tiers.kvs"
pattern pages : transfer { block = 1 MiB; op = read }
sweep common { pattern = pages; trials = 7 }
"""
TIERS = """kvs 1
tier disk : ssd { path = "/d" }
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".kvs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "main.kvs"


def check(path: Path) -> Checked:
    return check_file(path, REGISTRY)


def codes(path: Path) -> list[str]:
    return [item.code for item in check(path).diagnostics]


def test_files_bring_in_blocks_and_bases_but_do_not_run(tmp_path: Path) -> None:
    checked = check(write(tmp_path, main=MAIN, parts__team=TEAM, parts__tiers=TIERS))
    assert checked.scenario is not None, shown(checked.diagnostics)
    plan = make_plan(checked.scenario)
    assert [(p.sweep, p.trials, p.tier.name) for p in plan.points] == [("s", 7, "disk")]
    assert plan.scenario == "main"
    assert plan.files == (("main.kvs", MAIN), ("parts/team.kvs", TEAM), ("parts/tiers.kvs", TIERS))


def test_a_file_used_twice_is_read_once(tmp_path: Path) -> None:
    main = MAIN.replace('use "parts/team.kvs"', 'use "parts/team.kvs"\nuse "parts/tiers.kvs"')
    checked = check(write(tmp_path, main=main, parts__team=TEAM, parts__tiers=TIERS))
    assert checked.scenario is not None, shown(checked.diagnostics)
    assert len(checked.scenario.files) == 3


def test_files_outside_the_folder_get_a_name_inside(tmp_path: Path) -> None:
    write(tmp_path, team=TEAM.replace("tiers.kvs", "main/tiers.kvs"), main__tiers=TIERS)
    main = write(tmp_path / "main", main=MAIN.replace("parts/team", "../team"))
    checked = check(main)
    assert checked.scenario is not None, shown(checked.diagnostics)
    assert [name for name, _ in checked.scenario.files] == ["main.kvs", "used/team.kvs", "tiers.kvs"]


def test_a_cycle_names_the_chain(tmp_path: Path) -> None:
    [found] = check(
        write(tmp_path, main=MAIN, parts__team=TEAM + 'use "../main.kvs"\n', parts__tiers=TIERS)
    ).diagnostics
    assert found.code == "KVS111"
    assert "main.kvs -> parts/team.kvs -> main.kvs" in found.message
    assert found.span is not None and found.span.source.name.endswith("team.kvs")


def test_a_name_defined_in_two_files_names_both_places(tmp_path: Path) -> None:
    main = write(tmp_path, main=MAIN + 'tier disk : ssd { path = "/e" }\n', parts__team=TEAM, parts__tiers=TIERS)
    [found] = check(main).diagnostics
    assert found.code == "KVS103"
    assert found.span is not None and found.span.source.name.endswith("main.kvs")
    assert found.related[0][0].source.name.endswith("tiers.kvs")


def test_problems_of_used_files(tmp_path: Path) -> None:
    assert codes(write(tmp_path, main=MAIN)) == ["KVS001"]
    assert "KVS010" in codes(write(tmp_path, main=MAIN, parts__team=TEAM.replace("kvs 1\n", ""), parts__tiers=TIERS))
    assert "KVS104" in codes(write(tmp_path, main=MAIN, parts__team=TEAM.replace("MiB", "MiBs"), parts__tiers=TIERS))


def test_the_catalogue_is_hidden_by_own_names(tmp_path: Path) -> None:
    text = """kvs 1
use models
model llama3_1_8b : gqa { layers = 1; kv_heads = 1; head_dim = 8; kv_dtype = fp8 }
tier disk : ssd { path = "/d" }
pattern pages : transfer { model = llama3_1_8b; prompt = 16 tokens; op = read }
sweep s { pattern = pages; tier = disk }
"""
    checked = check(write(tmp_path, main=text))
    assert checked.scenario is not None, shown(checked.diagnostics)
    assert make_plan(checked.scenario).points[0].work.block_bytes == 16 * 16
    [found] = check(write(tmp_path, main=text.replace("gqa", "llama3_1_8b"))).diagnostics
    assert found.code == "KVS111" and "hides the catalogue" in found.help
