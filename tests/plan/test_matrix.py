"""The pattern `matrix` from its text to points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvscen.language.check import check_source
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.render import render
from kvscen.plan.cost import plan_cost
from kvscen.plan.expand import Expanded, expand, make_plan
from kvscen.plan.point import Plan
from kvscen.plan.render import plan_json, plan_table
from kvscen.plan.traffic import Flow, Step, Traffic
from kvscen.plugin.registry import registry
from kvscen.report.table import plain_text

TIER = """kvs 1
use models
tier peer : memory { }
tier disk : posix { path = "/d" }
tier computed : sim { bandwidth = 1 GiB/s; latency = 1 us; parallelism = 1 }
"""
NIXL = 'tier n : nixl { path = "/d" }\n'
MODEL = "model m : gqa { layers = 2; kv_heads = 8; head_dim = 4 }\n"
FILES = 'files = ["a.txt", "b.txt"]'
SWEEP = "pattern = p; tier = peer; time = 1 s"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("0 1K 0\n0 0 2K\n0 0 0\n")
    (tmp_path / "b.txt").write_text("0 0 3\n0 0 0\n0 0 0\n")
    return tmp_path


def expanded(folder: Path, pattern: str, sweep: str = "", more: str = "", pins: tuple[str, ...] = ()) -> Expanded:
    text = f"{TIER}{MODEL}{more}pattern p : matrix {{ {pattern} }}\nsweep s {{ {SWEEP}; {sweep or 'seed = 3'} }}\n"
    checked = check_source(Source(str(folder / "t.kvs"), text), folder)
    if checked.scenario is None:
        return Expanded(None, checked.diagnostics)
    return expand(checked.scenario, pins)


def plan(folder: Path, pattern: str, sweep: str = "", more: str = "", pins: tuple[str, ...] = ()) -> Plan:
    found = expanded(folder, pattern, sweep, more, pins)
    assert found.plan is not None, render(found.diagnostics)
    return found.plan


def traffic(folder: Path, pattern: str, sweep: str = "") -> Traffic:
    found = plan(folder, pattern, sweep).points[0].work.traffic
    assert found is not None
    return found


def said(folder: Path, pattern: str, sweep: str = "") -> list[Diagnostic]:
    found = expanded(folder, pattern, sweep)
    assert found.plan is None
    return list(found.diagnostics)


def test_files(folder: Path) -> None:
    found = traffic(folder, f"{FILES}; compute = 5 ms")
    assert found == Traffic(
        3,
        "sequence",
        (Step((Flow(0, 1, 1024), Flow(1, 2, 2048)), 5_000_000), Step((Flow(0, 2, 3),), 5_000_000)),
    )
    assert (found.nbytes, found.transfers) == (3075, 3)
    [point] = plan(folder, FILES).points
    assert (point.work.processes, point.work.threads, point.work.op) == (3, 1, "write")


def test_steps_have_compute_times_of_their_own(folder: Path) -> None:
    found = traffic(folder, f"{FILES}; compute = [5 ms, 1 s]")
    assert [step.compute_ns for step in found.steps] == [5_000_000, 10**9]
    # Rank 0 sends in both, rank 1 in the first.
    assert found.compute_ns == 1_005_000_000


def test_where_transfers_begin() -> None:
    step = Step((Flow(0, 1, 100), Flow(0, 2, 1), Flow(1, 2, 64)))
    assert [place[1:] for place in step.placed()] == [(0, 0), (128, 0), (0, 64)]
    found = Traffic(3, "sequence", (step, Step((Flow(2, 2, 500),))))
    assert [found.outbox_bytes(rank) for rank in range(3)] == [129, 64, 500]
    assert [found.inbox_bytes(rank) for rank in range(3)] == [0, 100, 500]


def test_of_a_model(folder: Path) -> None:
    # 256 bytes a token, pages of 16: 10 and 20 tokens in one step are 16 + 32, 5 tokens 16.
    settings = "model = m; prompt = [10 tokens, 20 tokens, 5 tokens]; batch = 2; prefill_speed = 1000 tokens/s"
    found = traffic(folder, settings)
    assert [(step.nbytes, step.compute_ns) for step in found.steps] == [(48 * 256, 30_000_000), (16 * 256, 5_000_000)]
    assert found.ranks == 2
    # Requests take the prompts in turn.
    assert [s.nbytes for s in traffic(folder, settings + "; requests = 4").steps] == [48 * 256, 32 * 256]


def test_drawn_prompts_follow_the_seed(folder: Path) -> None:
    settings = "model = m; prompt = 1000 tokens; prompt_spread = 300 tokens; prompt_most = 1200 tokens; requests = 20"
    found = traffic(folder, settings)
    assert found == traffic(folder, settings)
    assert found != traffic(folder, settings, "seed = 4")
    assert len({step.nbytes for step in found.steps}) > 5
    assert max(step.nbytes for step in found.steps) <= 1200 * 256


def test_axes_and_what_has_no_meaning_alone(folder: Path) -> None:
    found = plan(folder, FILES, "p.mode in [isolated, sequence]; p.compute in [0 ms, 5 ms, [1 ms, 2 ms]]")
    shown = [
        (p.work.traffic.mode, [s.compute_ns for s in p.work.traffic.steps]) for p in found.points if p.work.traffic
    ]
    # Isolated steps have no compute time: the three are one point.
    assert shown == [
        ("isolated", [0, 0]),
        ("sequence", [0, 0]),
        ("sequence", [5_000_000, 5_000_000]),
        ("sequence", [1_000_000, 2_000_000]),
    ]
    of_model = plan(folder, "model = m; prompt = 10 tokens", "p.decode_tp in [1, 4]; m.kv_dtype in [bf16, fp8]")
    assert [(p.work.processes, p.work.traffic.nbytes) for p in of_model.points if p.work.traffic] == [
        (2, 4096),
        (2, 2048),
        (5, 4096),
        (5, 2048),
    ]
    assert plan(folder, FILES, pins=("p.compute=7 ms",)).points[0].work.traffic.compute_ns == 14_000_000  # type: ignore[union-attr]


def test_another_matrix_under_the_same_name_is_another_point(folder: Path) -> None:
    before = plan(folder, FILES)
    (folder / "b.txt").write_text("0 0 4\n0 0 0\n0 0 0\n")
    after = plan(folder, FILES)
    assert before.points[0].id != after.points[0].id
    # The run's folder keeps what was read.
    assert ("b.txt", "0 0 4\n0 0 0\n0 0 0\n") in after.files


def test_files_are_read_beside_the_text_that_names_them(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "m.txt").write_text("0 7\n0 0\n")
    (inner / "team.kvs").write_text('kvs 1\npattern base : matrix { files = ["m.txt"] }\n')
    text = f'{TIER}use "inner/team.kvs"\npattern p : base {{ compute = 1 ms }}\nsweep s {{ {SWEEP} }}\n'
    checked = check_source(Source(str(folder / "t.kvs"), text), folder)
    assert checked.scenario is not None, render(checked.diagnostics)
    found = expand(checked.scenario)
    assert found.plan is not None, render(found.diagnostics)
    assert found.plan.points[0].work.traffic == Traffic(2, "sequence", (Step((Flow(0, 1, 7),), 1_000_000),))


@pytest.mark.parametrize(
    ("pattern", "code", "part"),
    [
        ("mode = sequence", "KVS113", "does not say what is sent"),
        (f"{FILES}; model = m; prompt = 1 tokens", "KVS203", "`files` and `model` both"),
        (f"{FILES}; prefill_tp = 2", "KVS203", "`prefill_tp` describes the KV of a model"),
        (f"{FILES}; prompt_spread = 2 tokens", "KVS203", "`prompt_spread` describes the KV of a model"),
        (f"{FILES}; prefill_speed = 2 tokens/s", "KVS203", "`prefill_speed` describes the KV of a model"),
        (f"{FILES}; compute = [1 ms, 2 ms, 3 ms]", "KVS105", "`compute` has 3 times, and there are 2 steps"),
        (f"{FILES}; compute = 5", "KVS105", "a unit is missing"),
        ('files = ["none.txt"]', "KVS001", "none.txt does not exist"),
        ("files = []", "KVS105", "at least 1 item"),
        ("model = m", "KVS113", "`prompt` is missing"),
        ("model = m; prompt = 0 tokens", "KVS105", "below the smallest value"),
        ("model = m; prompt = [1 tokens, 2 tokens]; prompt_spread = 1 tokens", "KVS114", "draws prompts around one"),
        (
            "model = m; prompt = 9 tokens; prompt_spread = 1 tokens; prompt_least = 9 tokens; prompt_most = 8 tokens",
            "KVS114",
            "no prompt is at least",
        ),
        ("model = m; prompt = 1 tokens; compute = 1 ms; prefill_speed = 1 tokens/s", "KVS114", "both say how long"),
        ("model = m; prompt = 1 tokens; decode_tp = 3", "KVS201", "decode: 8 KV heads cannot be shared evenly by 3"),
        ("model = m; prompt = 1 tokens; prefill_pp = 3", "KVS204", "prefill: 3 pipeline stages for 2 layers"),
        ("model = m; prompt = 1 tokens; decode_workers = 2000", "KVS107", "2,001 ranks"),
        ("model = m; prompt = 1 tokens; requests = 20000", "KVS107", "20,000 steps"),
    ],
)
def test_what_is_wrong(folder: Path, pattern: str, code: str, part: str) -> None:
    found = said(folder, pattern)
    assert [item.code for item in found] == [code], render(found)
    assert part in found[0].message
    assert found[0].span is not None and found[0].help


@pytest.mark.parametrize(
    ("sweep", "code"),
    [
        ("until = steady; cap = 60 s", "KVS114"),
        ("precondition = 1", "KVS114"),
        ("durability = end", "KVS114"),
        ("ceiling = fio", "KVS114"),
        ("m.tp = 2", "KVS114"),
    ],
)
def test_what_a_matrix_has_no_use_for(folder: Path, sweep: str, code: str) -> None:
    found = said(folder, "model = m; prompt = 1 tokens", sweep)
    assert [item.code for item in found] == [code], render(found)


def on_tier(folder: Path, tier: str, sweep: str = "") -> Expanded:
    text = (
        f"{TIER}{NIXL}pattern p : matrix {{ {FILES} }}\nsweep s {{ pattern = p; tier = {tier}; seed = 1; {sweep} }}\n"
    )
    checked = check_source(Source(str(folder / "t.kvs"), text), folder)
    assert checked.scenario is not None, render(checked.diagnostics)
    return expand(checked.scenario)


@pytest.mark.parametrize("tier", ["disk", "computed"])
def test_drivers_that_cannot(folder: Path, tier: str) -> None:
    found = on_tier(folder, tier)
    assert [item.code for item in found.diagnostics] == ["KVS302"], render(found.diagnostics)
    assert f"of the tier `{tier}` cannot do a `matrix`" in found.diagnostics[0].message


def test_nixl_to_files_cannot(folder: Path) -> None:
    found = on_tier(folder, "n")
    assert [item.code for item in found.diagnostics] == ["KVS302"], render(found.diagnostics)
    assert "POSIX keeps blocks in files" in found.diagnostics[0].message


def test_what_a_plan_says(folder: Path) -> None:
    found = plan(folder, f"{FILES}; compute = 2 ms", "p.mode in [isolated, sequence]")
    cost = plan_cost(found, registry())
    text = plain_text(plan_table(found, cost), 100)
    assert "ranks 3   steps 2   transfers 3   a pass moves 3 KiB" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["0", "3", "KiB", "2", "2", "2", "2", "ms"] in lines
    assert ["1", "3", "B", "1", "1", "1", "2", "ms"] in lines
    assert ["all", "3", "KiB", "3", "4", "ms"] in lines
    described = json.loads(json.dumps(plan_json(found)))["points"][1]
    assert described["traffic"]["ranks"] == 3 and len(described["traffic"]["flows_sha256"]) == 64
    assert described["traffic"]["steps"][1] == {
        "bytes": 3,
        "transfers": 1,
        "senders": 1,
        "receivers": 1,
        "compute_ns": 2_000_000,
    }
    assert (described["traffic_mode"], described["traffic_bytes"], described["block_bytes"]) == ("sequence", 3075, None)
    assert [own.verify_bytes for own in cost.points] == [3075, 3075]
    assert [own.batch_bytes for own in cost.points] == [3075, 3075]
    assert cost.disk_bytes == 0 and cost.memory_bytes > 0


def test_operations_are_counted_in_passes(folder: Path) -> None:
    found = on_tier(folder, "peer", "operations = 10")
    assert found.plan is not None, render(found.diagnostics)
    [point] = found.plan.points
    assert point.work.traffic is not None
    assert point.work.traffic.passes_for(10) == 4
    assert plan_cost(found.plan, registry()).points[0].measured_operations == 12


def test_the_shipped_scenarios() -> None:
    """Known values: every machine draws the same prompts."""
    found = []
    for name in ("traffic", "traffic_files"):
        path = Path(__file__).parents[2] / "scenarios" / "kvbench" / f"{name}.kvs"
        checked = check_source(Source(str(path), path.read_text()), path.parent)
        assert checked.scenario is not None
        made = make_plan(checked.scenario).points[-1].work.traffic
        assert made is not None
        found.append((made.ranks, [step.nbytes for step in made.steps]))
    # Pages of 16 tokens, 64 KiB a token, on Llama 3.1 8B in fp8.
    mib = 1 << 20
    assert found == [
        (4, [23 * mib, 45 * mib, 44 * mib, 28 * mib, 19 * mib, 7 * mib]),
        (4, [64 * mib, 64 * mib, 12 << 10]),
    ]
