"""Settings of how a point is measured, on their way into its work, its columns and its cost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from kvscen.language.cpus import parse_cpus, show_cpus
from kvscen.language.diagnose import Severity
from kvscen.lint import lint_file
from kvscen.plan.columns import describe
from kvscen.plan.cost import plan_cost
from kvscen.plan.point import Point
from tests.plan.test_render import table
from tests.semantics.support import REGISTRY, plan, sweep

S = 10**9


def one(settings: str) -> Point:
    [point] = plan(sweep(f"tier = disk; {settings}")).points
    return point


def test_what_is_not_asked_for_is_off() -> None:
    work = one("").work
    assert (work.until, work.cap_ns, work.precondition, work.durability, work.ceiling) == (
        "time",
        None,
        0,
        "none",
        "none",
    )
    assert (work.stride, work.skew, work.cpus, work.numa_node) == (None, None, None, None)


def test_the_settings_reach_the_work_and_the_columns() -> None:
    point = one(
        "until = steady; time = 2 s; precondition = 2; durability = end; pages.op = write; pages.order = zipf; "
        'pages.cpus = "4,0-2"; pages.stride = 3'
    )
    work, columns = point.work, describe(point)
    assert (work.until, work.cap_ns, work.precondition, work.durability) == ("steady", 60 * S, 2, "end")
    assert (work.order, work.skew, work.stride, work.cpus) == ("zipf", Fraction(99, 100), None, (4, 0, 1, 2))
    assert {name: columns[name] for name in ("until", "cap_ns", "precondition", "durability", "ceiling")} == {
        "until": "steady",
        "cap_ns": 60 * S,
        "precondition": 2,
        "durability": "end",
        "ceiling": "none",
    }
    assert (columns["skew"], columns["stride"], columns["cpus"], columns["numa_node"]) == (0.99, None, "4,0-2", None)
    assert describe(one("pages.numa = 1"))["numa_node"] == 1
    assert describe(one("pages.order = strided; pages.stride = 3"))["stride"] == 3


def test_reads_have_nothing_to_make_durable() -> None:
    points = plan(sweep("tier = disk; durability = end; pages.op in [read, write]")).points
    assert [p.work.durability for p in points] == ["none", "end"]


def test_what_has_no_meaning_is_not_reached() -> None:
    """`stride` belongs to strided, `skew` to zipf, `cap` to steady."""
    points = plan(
        sweep("tier = disk; pages.order in [sequential, strided, zipf]; pages.stride in [2, 3]; pages.skew in [0.5, 1]")
    ).points
    assert len(points) == 5
    points = plan(sweep("tier = disk; until in [time, steady]; cap in [30 s, 60 s]; time = 1 s")).points
    assert [(p.work.until, p.work.cap_ns) for p in points] == [("time", None), ("steady", 30 * S), ("steady", 60 * S)]


def test_the_cost_has_the_cap_and_the_preconditioning() -> None:
    plain = plan(sweep("tier = disk; trials = 3; time = 1 s; warmup = 1 s"))
    costly = plan(
        sweep("tier = disk; trials = 3; time = 1 s; warmup = 1 s; until = steady; cap = 10 s; precondition = 2")
    )
    before, after = plan_cost(plain, REGISTRY), plan_cost(costly, REGISTRY)
    assert (before.load_ns, after.load_ns) == (6 * S, 36 * S)
    assert before.points[0].precondition_bytes == 0
    assert after.points[0].precondition_bytes == 2 * costly.points[0].work.working_set_bytes
    assert after.allowance_ns > before.allowance_ns
    assert "at most 36 s of load (trials x (warm-up + cap + window))" in table(costly)
    assert "layout, verification, preconditioning and starts" in table(costly)


@pytest.mark.parametrize("text", ["0", "0-3", "0-3,8", "8,0-3", "3,2,1", "0,2,4-5"])
def test_cpus_are_shown_as_they_are_written(text: str) -> None:
    assert show_cpus(parse_cpus(text)) == text


def test_cpus() -> None:
    assert parse_cpus("0-2, 8") == (0, 1, 2, 8)
    for wrong in ("", "-1", "1-", "2-1", "0,0", "1;2", "99999"):
        with pytest.raises(ValueError, match="CPU"):
            parse_cpus(wrong)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("until", "steady"), ("precondition", "1"), ("durability", "end"), ("pages.cpus", '"0"'), ("pages.numa", "0")],
)
def test_a_program_of_its_own_cannot_be_asked_for_what_the_worker_does(
    tmp_path: Path, setting: str, value: str
) -> None:
    scenario = tmp_path / "tool.kvs"
    scenario.write_text(
        "kvs 1\n"
        'tier bench : command { argv = ["./bench", "--op={op}", "--size={block_bytes}"] }\n'
        "pattern pages : transfer { block = 1 MiB; op = write }\n"
        "sweep tool { pattern = pages; tier = bench; seed = 1\n"
        f"{setting} = {value} }}\n"
    )
    [found] = [d for d in lint_file(scenario).diagnostics if d.severity is Severity.ERROR]
    assert found.code == "KVS302"
    assert f"`{setting.rpartition('.')[2]}` has no effect" in found.message
