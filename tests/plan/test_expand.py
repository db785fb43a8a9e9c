"""Late binding, merging, conditions, pins and identity, one rule at a time."""

from __future__ import annotations

import json

import pytest

from kvscen.language.values import format_value
from kvscen.plan.point import Plan
from kvscen.plan.render import plan_json
from tests.semantics.support import HEAD, expanded, plan, problems, shown, sweep

MODEL = """kvs 1
use models
let dir = "/d"
let many = 10
model m : llama3_1_70b { kv_dtype = fp8 }
tier disk : ssd { path = dir }
tier dram : ram {}
pattern pages : transfer { model = m; prompt = 1000 tokens; op = read }
"""


def axes(found: Plan) -> list[str]:
    return [" ".join(f"{path}={format_value(value)}" for path, value in p.axes.items()) for p in found.points]


def test_axes_are_crossed_the_first_slowest() -> None:
    found = plan(sweep("tier in [disk, dram]; pages.threads in [1, 2]"))
    assert axes(found) == [
        "tier=disk pages.threads=1",
        "tier=disk pages.threads=2",
        "tier=dram pages.threads=1",
        "tier=dram pages.threads=2",
    ]


def test_points_that_come_out_equal_are_one() -> None:
    found = plan(sweep("disk.direct in [true, false]; tier in [disk, dram]"))
    assert axes(found) == ["disk.direct=true tier=disk", "tier=dram", "disk.direct=false tier=disk"]
    assert axes(plan(sweep("tier = disk; pages.threads in [1, 2, 1]"))) == ["pages.threads=1", "pages.threads=2"]
    assert axes(plan(sweep("tier = disk; pages.threads in linear(1, 2, 5)"))) == ["pages.threads=1", "pages.threads=2"]


def test_a_setting_without_meaning_is_not_reached() -> None:
    found = plan(sweep("tier = disk; pages.op in [read, mixed]; pages.reads in [50 %, 70 %]"))
    assert axes(found) == ["pages.op=read", "pages.op=mixed pages.reads=50 %", "pages.op=mixed pages.reads=70 %"]


def test_the_sweeps_own_settings_belong_to_a_point_only_where_they_vary() -> None:
    varied = plan(sweep("tier = disk; time in [1 s, 2 s]"))
    assert axes(varied) == ["time=1 s", "time=2 s"]
    assert len({p.id for p in varied.points}) == 2
    through_let = plan(HEAD + "let t = 1 s\n" + sweep("tier = disk; t in [1 s, 2 s]; time = t", ""))
    assert len({p.id for p in through_let.points}) == 2
    [short] = plan(sweep("tier = disk; time = 1 s")).points
    [long] = plan(sweep("tier = disk; time = 2 s; trials = 3; seed = 7; warmup = 0 s")).points
    assert short.id == long.id


def test_grouped_axes() -> None:
    found = plan(sweep("tier = disk; (pages.threads, pages.depth) in [(1, 8), (2, 16)]"))
    assert axes(found) == ["pages.threads=1 pages.depth=8", "pages.threads=2 pages.depth=16"]
    # A pin takes one path out of the group; the other still varies.
    found = plan(sweep("tier = disk; (pages.threads, pages.depth) in [(1, 8), (2, 16), (3, 8)]"), ["pages.threads=4"])
    assert axes(found) == ["pages.depth=8", "pages.depth=16"]
    assert {p.work.threads for p in found.points} == {4}


def test_axes_of_lets_and_values_from_lets() -> None:
    found = plan(MODEL + sweep('tier = disk; dir in ["/a", "/b"]; pages.requests in [1, many, 2 * many]', ""))
    assert axes(found)[:3] == [f'dir="/a" pages.requests={n}' for n in (1, 10, 20)]
    assert found.points[0].tier.settings.path == "/a"
    text = HEAD + "let sizes = pow2(1 MiB, 4 MiB)\nlet which = dram\nlet how = write\n"
    found = plan(text + sweep("tier = which; pages.block in sizes; pages.op = how", ""))
    assert [(p.tier.name, p.work.op, p.work.block_bytes >> 20) for p in found.points] == [
        ("dram", "write", n) for n in (1, 2, 4)
    ]
    assert axes(plan(text + sweep("tier = which; which in [dram, disk]", ""))) == ["which=dram", "which=disk"]


def test_inheritance_binds_late() -> None:
    head = HEAD + "tier b : disk {}\ntier c : disk { direct = false }\n"
    found = plan(head + sweep("tier in [b, c]; disk.direct in [true, false]", ""))
    assert [(p.tier.name, p.tier.settings.direct) for p in found.points] == [("b", True), ("b", False), ("c", False)]
    # A condition on the base's path holds where the point takes its value from there.
    found = plan(head + sweep("tier in [b, c]; disk.direct in [true, false]; skip when disk.direct == false", ""))
    assert [(p.tier.name, p.tier.settings.direct) for p in found.points] == [("b", True), ("c", False)]


def test_precedence() -> None:
    head = HEAD + "tier b : disk { queue = 4 }\n"
    [point] = plan(head + sweep("tier = b", "")).points
    assert point.tier.settings.queue == 4
    [point] = plan(head + sweep("tier = b; b.queue = 5", "")).points
    assert point.tier.settings.queue == 5
    [point] = plan(head + sweep("tier = b; b.queue in [5, 6]", ""), ["b.queue=7"]).points
    assert point.tier.settings.queue == 7
    [point] = plan(sweep("tier = disk"), ["disk.queue=9"]).points
    assert point.tier.settings.queue == 9


def test_derived_sweeps() -> None:
    base = (
        HEAD
        + """sweep base {
  pattern = pages
  trials = 9
  pages.threads in [1, 2]
  pages.depth in [4, 8]
  skip when pages.threads == 2 and pages.depth == 8
  expect errors == 0
}
"""
    )
    found = plan(base + "sweep s : base { tier = disk; pages.depth = 8 }\n")
    assert {p.sweep for p in found.points} == {"s"}, "a sweep without a tier that others are based on does not run"
    assert [(p.work.threads, p.work.depth, p.trials) for p in found.points] == [(1, 8, 9)]
    assert found.skipped[0].condition == "pages.threads == 2 and pages.depth == 8"
    assert [e.text for e in found.points[0].expectations] == ["expect errors == 0"]
    [first, *_] = plan(base + "sweep s : base { tier = disk }\n", ["base.trials=3"]).points
    assert first.trials == 3
    [first, *_] = plan(base + "sweep s : base { tier = disk; trials = 4 }\n", ["s.trials=6"]).points
    assert first.trials == 6
    assert [d.code for d in problems(base + "sweep s : base { tier = disk; trials = 4 }\n", ["base.trials=3"])] == [
        "KVS124"
    ]


def test_a_derived_sweep_splits_an_axis_of_several_paths() -> None:
    base = """sweep base {
  pattern = pages; tier = disk
  (pages.threads, pages.depth) in [(1, 8), (2, 16)]
  pages.op in [read, write]
}
"""

    def derived(settings: str) -> list[str]:
        return axes(plan(HEAD + base + f"sweep s : base {{ {settings} }}\n", sweeps=["s"]))

    # What is not replaced varies on, in its place.
    assert derived("pages.op = read; pages.depth = 4") == ["pages.threads=1", "pages.threads=2"]
    assert derived("pages.op = read; pages.depth in [4, 2]") == [
        "pages.threads=1 pages.depth=4",
        "pages.threads=1 pages.depth=2",
        "pages.threads=2 pages.depth=4",
        "pages.threads=2 pages.depth=2",
    ]
    # Several axes instead of one come last, in the order in which they are written.
    assert derived("pages.threads in [1, 2]; pages.depth in [4, 2]")[:3] == [
        "pages.op=read pages.threads=1 pages.depth=4",
        "pages.op=read pages.threads=1 pages.depth=2",
        "pages.op=read pages.threads=2 pages.depth=4",
    ]
    assert derived("pages.threads = 1; pages.depth in [4, 2]")[:2] == [
        "pages.op=read pages.depth=4",
        "pages.op=read pages.depth=2",
    ]
    # One of the same paths takes the place, whatever their order.
    assert derived("(pages.depth, pages.threads) in [(4, 1)]") == [
        "pages.depth=4 pages.threads=1 pages.op=read",
        "pages.depth=4 pages.threads=1 pages.op=write",
    ]
    # A base's base: what was left of its axis is an axis of the base.
    chain = "sweep middle : base { pages.depth = 4 }\nsweep s : middle { pages.threads in [3, 1] }\n"
    assert axes(plan(HEAD + base + chain, sweeps=["s"]))[:3] == [
        "pages.threads=3 pages.op=read",
        "pages.threads=3 pages.op=write",
        "pages.threads=1 pages.op=read",
    ]


def test_the_order_of_axes_is_no_part_of_a_points_identity() -> None:
    one = plan(sweep("tier = disk; pages.threads in [1, 2]; pages.depth in [4, 8]; time in [1 s, 2 s]"))
    other = plan(
        sweep("tier = disk; time in [2 s, 1 s]; (pages.depth, pages.threads) in [(4, 1), (8, 1), (4, 2), (8, 2)]")
    )
    assert [p.id for p in one.points] != [p.id for p in other.points]
    assert {p.id for p in one.points} == {p.id for p in other.points}


def test_levels_are_reached() -> None:
    head = HEAD + "tier cache : stack { levels = [dram, disk] }\n"
    found = plan(head + sweep("tier in [cache, dram]; disk.queue in [8, 16]; dram.engine in [fast, slow]", ""))
    assert axes(found) == [
        "tier=cache disk.queue=8 dram.engine=fast",
        "tier=cache disk.queue=8 dram.engine=slow",
        "tier=cache disk.queue=16 dram.engine=fast",
        "tier=cache disk.queue=16 dram.engine=slow",
        "tier=dram dram.engine=fast",
        "tier=dram dram.engine=slow",
    ]
    [first, *_] = found.points
    assert [level.name for level in first.tier.levels] == ["dram", "disk"]
    found = plan(head + sweep("tier = cache; cache.levels in [[dram], [dram, disk]]", ""))
    assert axes(found) == ["cache.levels=[dram]", "cache.levels=[dram, disk]"]


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("tier == dram", ["disk 1", "disk 2"]),
        ("tier != dram", ["dram 1", "dram 2"]),
        ("pages.threads > 1", ["disk 1", "dram 1"]),
        ("tier == disk and pages.threads == 2", ["disk 1", "dram 1", "dram 2"]),
        ("not (tier == disk or pages.threads == 1)", ["disk 1", "disk 2", "dram 1"]),
        # A point that does not reach the path: the comparison is false, whatever its operator, and `not` of it is true.
        ("disk.direct != false", ["dram 1", "dram 2"]),
        ("not disk.direct == true", ["disk 1", "disk 2"]),
        # A setting without a value is not reached either.
        ("pages.depth != 8", ["disk 1", "disk 2", "dram 1", "dram 2"]),
        ("pages.block >= 1 MiB", []),
        ("s.trials == 5 and pages.threads == n", ["disk 1", "dram 1"]),
    ],
)
def test_skip(condition: str, left: list[str]) -> None:
    text = HEAD + "let n = 2\n" + sweep(f"tier in [disk, dram]; pages.threads in [1, 2]; skip when {condition}", "")
    found = expanded(text)
    if not left:
        assert [d.code for d in found.diagnostics] == ["KVS126"]
        return
    assert found.plan is not None, shown(found.diagnostics)
    assert [f"{p.tier.name} {p.work.threads}" for p in found.plan.points] == left
    assert len(found.plan.skipped) == 4 - len(left)
    assert all(skipped.condition == condition for skipped in found.plan.skipped)


def test_expectations() -> None:
    found = plan(
        sweep(
            "tier in [disk, dram]; expect throughput >= 2 * 100 MiB/s when tier == disk; expect errors == 0; "
            "expect hit_rate >= 85 %; expect latency_p99 <= 2 ms; expect dram.hits >= 1"
        )
    )
    assert [(e.measure, e.operator, format_value(e.value)) for e in found.points[0].expectations] == [
        ("throughput", ">=", "200 MiB/s"),
        ("errors", "==", "0"),
        ("hit_rate", ">=", "85 %"),
        ("latency_p99", "<=", "2 ms"),
        ("dram.hits", ">=", "1"),
    ]
    assert len(found.points[1].expectations) == 4
    [point] = plan(HEAD + "tier n : net {}\n" + sweep("tier = n; expect prep_p50 <= 1 ms", "")).points
    assert point.expectations[0].measure == "prep_p50"


def test_pins_are_read_by_the_type_of_what_they_pin() -> None:
    text = MODEL + sweep("tier in [disk, dram]; pages.requests in [1, 2]", "")
    found = plan(
        text, ["dir=/mnt/nvme 0", "s.tier=disk", "pages.requests=many * 10", "s.time=1.5 s", "disk.direct=false"]
    )
    [point] = found.points
    assert point.tier.settings.path == "/mnt/nvme 0"
    assert (point.work.requests, point.work.time_ns, point.tier.settings.direct) == (100, 1_500_000_000, False)
    assert found.pins == (
        ("dir", '"/mnt/nvme 0"'),
        ("s.tier", "disk"),
        ("pages.requests", "100"),
        ("s.time", "1.5 s"),
        ("disk.direct", "false"),
    )
    assert plan(text, ['dir="/x"', "s.tier=disk"]).points[0].tier.settings.path == "/x"
    assert plan(text, ["disk.path=many", "s.tier=disk"]).points[0].tier.settings.path == "many"


@pytest.mark.parametrize(
    ("pin", "code", "says"),
    [
        ("pages.requests", "KVS124", "not a path and a value"),
        ("=3", "KVS124", "not a path and a value"),
        ("pages.requests=", "KVS124", ""),
        ("pages.requests=((", "KVS124", ""),
        ("pages.requsts=3", "KVS102", "requests"),
        ("page.requests=3", "KVS101", "pages"),
        ("requests=3", "KVS102", "pages.requests"),
        ("trials=3", "KVS102", "s.trials"),
        ("dri=/x", "KVS102", "dir"),
        ("pages.requests=3 s", "KVS105", "count"),
        ("pages.op=raed", "KVS101", "read"),
        ("s.tier=disc", "KVS101", "disk"),
        ("many=3 s", "KVS105", "a number"),
        ("pages.requests=1 / 0", "KVS106", "zero"),
        ("dram.engine=slow", "KVS124", "changes nothing"),
    ],
)
def test_pins_that_cannot_be_used(pin: str, code: str, says: str) -> None:
    [found] = expanded(MODEL + sweep("tier = disk; pages.requests = many", ""), [pin]).diagnostics
    assert found.code == code, found
    assert says in found.message + found.help


def test_a_pin_twice() -> None:
    found = expanded(sweep("tier = disk"), ["disk.queue=1", "disk.queue=2"])
    assert [d.code for d in found.diagnostics] == ["KVS124"]


def test_sweeps_are_selected() -> None:
    text = sweep("tier = disk") + "sweep t : s { tier = dram }\n"
    assert [p.sweep for p in plan(text).points] == ["s", "t"]
    assert [p.index for p in plan(text).points] == [0, 1]
    assert [p.sweep for p in plan(text, (), ["t"]).points] == ["t"]
    assert [p.sweep for p in plan(text, (), ["t", "s"]).points] == ["s", "t"], "in the order of the file"
    [found] = expanded(text, (), ["u"]).diagnostics
    assert found.code == "KVS123"


def test_a_missing_setting_can_be_pinned() -> None:
    text = HEAD + "tier b : ssd {}\n" + sweep("tier = b", "")
    assert [d.code for d in expanded(text).diagnostics] == ["KVS113"]
    assert plan(text, ["b.path=/x"]).points[0].tier.settings.path == "/x"


def test_identity_is_stable() -> None:
    """These hashes stand in tables that people keep: a change of them needs a new version of the schema."""
    [point] = plan(sweep("tier = disk; pages.threads in [2]")).points
    assert point.id == "71c8731dde35"
    same = plan(sweep("pages.threads = 2; tier = disk; pages.order = sequential")).points[0]
    assert same.id == point.id, "written otherwise, the same point"
    other = plan(sweep("tier = disk; pages.threads = 2").replace("sweep s", "sweep z")).points[0]
    assert other.id != point.id


def test_the_plan_is_the_same_to_the_byte() -> None:
    text = MODEL + sweep("tier in [disk, dram]; pages.requests in log(1, 100, 5); expect errors == 0", "")
    first, second = (json.dumps(plan_json(plan(text))) for _ in range(2))
    assert first == second
    assert json.loads(first)["points"][0]["settings"]["pages.prompt"] == "1000 tokens"


def test_many_points_and_axes_that_are_not_reached_cost_nothing() -> None:
    # 3 ^ 12 raw combinations, of which `dram` reaches none.
    tiers = "".join(f'tier t{i} : ssd {{ path = "/d" }}\n' for i in range(12))
    axes_ = "\n".join(f"t{i}.queue in [1, 2, 3]" for i in range(12))
    names = ", ".join(f"t{i}" for i in range(12))
    found = plan(HEAD + tiers + sweep(f"tier in [{names}, dram]\n{axes_}", ""))
    assert len(found.points) == 12 * 3 + 1


def test_a_skipped_point_may_be_one_that_could_not_run() -> None:
    text = sweep("tier in [disk, dram]; pages.processes in [1, 2]; skip when tier == dram and pages.processes == 2")
    assert len(plan(text).points) == 3
    text = sweep("tier = disk; pages.op in [read, mixed]; skip when pages.op == mixed")
    assert len(plan(text).points) == 1


def test_an_expectation_cannot_follow_an_axis_that_its_point_does_not_reach() -> None:
    text = HEAD + "let q = 8\n" + sweep("tier in [disk, dram]; q in [8, 16]; disk.queue = q; expect errors <= q", "")
    [found] = expanded(text).diagnostics
    assert (found.code, found.label) == ("KVS120", "at tier = dram")
    assert (
        plan(text.replace("errors <= q", "errors <= q when tier == disk")).points[1].expectations[0].value is not None
    )
