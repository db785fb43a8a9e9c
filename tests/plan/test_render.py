"""What `kvscen plan` prints, and what it costs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from kvscen.cli.main import main
from kvscen.plan.columns import axes, describe, settings
from kvscen.plan.cost import plan_cost
from kvscen.plan.point import Plan
from kvscen.plan.render import plan_json, plan_table, rows
from kvscen.results.schema import VARIABLES
from tests.semantics.support import HEAD, REGISTRY, plan, sweep

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def table(found: Plan) -> str:
    out = io.StringIO()
    Console(file=out, width=160, color_system=None).print(plan_table(found, plan_cost(found, REGISTRY)))
    return out.getvalue()


def test_columns_are_those_of_the_table_of_trials() -> None:
    [point] = plan(sweep("tier = disk")).points
    assert list(describe(point)) == [column.name for column in VARIABLES]


def test_axes_are_typed_in_base_units() -> None:
    text = (
        HEAD
        + 'let dir = "/d"\n'
        + sweep(
            "tier in [disk]; pages.block in [1 MiB]; time in [1.5 s]; pages.threads in [2]; disk.direct in [true]; "
            'pages.op in [mixed]; pages.reads in [70 %]; pages.rate in [100 /s]; dir in ["/x"]; disk.path = dir',
            "",
        )
    )
    [point] = plan(text).points
    assert axes(point) == {
        "tier": "disk",
        "pages.block": 1 << 20,
        "time": 1_500_000_000,
        "pages.threads": 2,
        "disk.direct": True,
        "pages.op": "mixed",
        "pages.reads": 0.7,
        "pages.rate": 100,
        "dir": "/x",
    }


def test_settings_are_all_that_is_reached() -> None:
    head = HEAD + "tier cache : stack { levels = [dram, disk] }\n"
    [point] = plan(head + sweep("tier = cache", "")).points
    shown = settings(point)
    assert shown["cache.levels"] == "[dram, disk]"
    assert shown["disk.path"] == '"/d"' and shown["dram.engine"] == "fast"
    assert shown["s.trials"] == "5" and shown["pages.block"] == "1 MiB"
    assert "dram.capacity" not in shown, "a setting without a value is left out"


def test_settings_of_a_hybrid_are_those_of_its_parts_too() -> None:
    head = HEAD.replace("kvs 1\n", "kvs 1\nuse models\n").replace(
        "block = 1 MiB;", "model = gpt_oss_20b; prompt = 100 tokens;"
    )
    [point] = plan(head + sweep("tier = disk", "")).points
    shown = settings(point)
    assert shown["gpt_oss_20b.parts"] == "[gpt_oss_20b_window, gpt_oss_20b_full]"
    assert (shown["gpt_oss_20b_window.window"], shown["gpt_oss_20b_full.layers"]) == ("128 tokens", "12")
    assert plan_json(plan(head + sweep("tier = disk", "")))["points"][0]["family"] == "hybrid"


def test_points_on_one_tier_share_a_data_set() -> None:
    found = plan(sweep("tier = disk; pages.batch in [10, 100]; pages.op in [read, write]"))
    cost = plan_cost(found, REGISTRY)
    assert cost.disk_bytes == 100 << 20
    assert cost.load_ns == 4 * 5 * 5_500_000_000
    assert cost.uncounted == 0
    both = plan(HEAD + 'tier other : ssd { path = "/e" }\n' + sweep("tier in [disk, other]; pages.batch = 10", ""))
    assert plan_cost(both, REGISTRY).disk_bytes == 20 << 20


def test_bytes_are_said_where_they_are_known() -> None:
    counted = plan(sweep("tier = disk; operations = 1000"))
    cost = plan_cost(counted, REGISTRY)
    assert (cost.points[0].measured_operations, cost.points[0].measured_bytes) == (1000, 1000 << 20)
    assert (cost.load_ns, cost.uncounted) == (0, 1)
    assert "moves    4.88 GiB in measured windows" in table(counted)
    assert "as long as the operations take" in table(counted)
    open_loop = plan(sweep("tier = disk; time = 2 s; pages.rate = 100 /s"))
    assert plan_cost(open_loop, REGISTRY).points[0].measured_operations == 200
    assert "at most 200" in table(open_loop)
    assert "at least 5 MiB, one batch in each trial" in table(plan(sweep("tier = disk")))


def test_skipped_points_are_shown_with_their_reason() -> None:
    found = plan(sweep("tier in [disk, dram]; skip when tier == dram; expect errors == 0"))
    assert "skipped" in table(found) and "when tier == dram" in table(found)
    shown = plan_json(found)
    assert shown["skipped"] == [
        {"point_id": found.skipped[0].id, "sweep": "s", "axes": {"tier": "dram"}, "skip_when": "tier == dram"}
    ]
    assert shown["points"][0]["expectations"] == [
        {"measure": "errors", "operator": "==", "value": "0", "text": "expect errors == 0"}
    ]
    flat = list(rows(found, plan_cost(found, REGISTRY)))
    assert [row["skipped_by"] for row in flat] == [None, "tier == dram"]
    assert flat[0].keys() == flat[1].keys()


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["plan", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("name", "block", "shown"),
    [("llama70b", 2_621_440, "2.5 MiB"), ("llama8b", 1_048_576, "1 MiB"), ("deepseek_r1", 562_176, "549 KiB")],
)
def test_the_shipped_scenarios(name: str, block: int, shown: str) -> None:
    code, out, err = run(str(SCENARIOS / f"{name}.kvs"))
    assert (code, err) == (0, ""), err
    assert f"block {shown}" in out and "4 points, 5 trials each" in out
    code, out, err = run(str(SCENARIOS / f"{name}.kvs"), "--format", "json")
    found = json.loads(out)
    assert [(p["op"], p["requests"], p["batch"]) for p in found["points"]] == [
        ("write", 1, 63),
        ("write", 10, 630),
        ("read", 1, 63),
        ("read", 10, 630),
    ]
    assert {p["block_bytes"] for p in found["points"]} == {block}
    assert found["cost"]["disk_bytes"] <= 2 << 30
    assert (found["cost"]["load_ns"] + found["cost"]["allowance_ns"]) <= 60 * 10**9


def test_the_scenario_with_windows() -> None:
    _, out, err = run(str(SCENARIOS / "gpt_oss.kvs"), "--format", "json")
    found = json.loads(out)
    assert err == ""
    # 12 layers of 1024 bytes for each of 256 tokens; 40 pages of the full layers and 2 of those with a window.
    assert [(p["block_bytes"], p["batch"]) for p in found["points"]] == [(3 << 20, 42), (3 << 20, 168)] * 2
    assert found["cost"]["disk_bytes"] <= 1 << 30


def test_pins_and_formats() -> None:
    scenario = str(SCENARIOS / "llama8b.kvs")
    code, out, _ = run(scenario, "--set", "pages.requests=100", "--set", "dir=/mnt/nvme", "--format", "csv")
    read = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(row["requests"], row["axis.pages.op"]) for row in read] == [("100", "write"), ("100", "read")]
    assert "axis.pages.requests" not in read[0]


def test_nothing_depends_on_the_folder_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(str(SCENARIOS / "llama8b.kvs"), "--format", "json")
    (tmp_path / "llama8b.kvs").write_text((SCENARIOS / "llama8b.kvs").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("dir", "/elsewhere")
    assert run("llama8b.kvs", "--format", "json") == first
    assert list(tmp_path.iterdir()) == [tmp_path / "llama8b.kvs"], "nothing is written"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--set", "pages.requsts=1"), "KVS102"),
        (("--sweep", "blcks"), "KVS123"),
        (("--set", "nonsense"), "KVS124"),
    ],
)
def test_mistakes_on_the_command_line(arguments: tuple[str, ...], code: str) -> None:
    status, out, err = run(str(SCENARIOS / "llama8b.kvs"), *arguments)
    assert (status, out) == (2, "")
    assert f"error[{code}]" in err
    assert "Traceback" not in err


def test_a_missing_file() -> None:
    status, _, err = run("no-such.kvs")
    assert status == 2 and "error[KVS001]" in err
