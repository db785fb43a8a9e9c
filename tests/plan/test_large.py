"""A large plan, whose points are made when they are asked for, is the plan that holds them all."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvscen.cli.main import main
from kvscen.language.check import check_file, check_source
from kvscen.language.diagnose import Diagnostic, Source, has_errors
from kvscen.language.scenario import Scenario
from kvscen.plan import expand as expanding
from kvscen.plan import grid
from kvscen.plan.cost import plan_cost
from kvscen.plan.expand import Expanded, expand
from kvscen.plan.large import Made
from kvscen.plugin.registry import registry
from tests.plan.test_brute_force import Case, cases
from tests.semantics.support import check, shown
from tests.semantics.test_problems import CASES

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(ROOT.glob("scenarios/**/*.kvs"))


def large(scenario: Scenario, pins: Sequence[str] = ()) -> Expanded:
    """As if no point could be held."""
    with mock.patch.object(expanding, "MOST_HELD", 0):
        return expand(scenario, pins)


def said(diagnostics: Sequence[Diagnostic]) -> list[tuple[Any, ...]]:
    """Which points are like the first is not known of a large plan."""
    return sorted((d.code, d.message, str(d.span), _first(d.label)) for d in diagnostics)


def _first(label: str) -> str:
    return re.sub(r" in \[([^],]+)[^]]*\]", r" = \1", label.partition(", and ")[0])


def compare(scenario: Scenario, pins: Sequence[str] = ()) -> None:
    held, made = expand(scenario, pins), large(scenario, pins)
    if any("searches among" in item.message for item in made.diagnostics):
        return  # a search needs its points
    assert said(made.diagnostics) == said(held.diagnostics), shown(made.diagnostics) + shown(held.diagnostics)
    if held.plan is None:
        assert made.plan is None
        return
    assert made.plan is not None
    assert list(made.plan.points) == list(held.plan.points)
    assert list(made.plan.skipped) == list(held.plan.skipped)
    assert (made.plan.files, made.plan.pins) == (held.plan.files, held.plan.pins)
    known = made.plan.large
    assert known is not None and isinstance(made.plan.points, Made)
    assert known.points == tuple(held.plan.points), "so few are all looked at"
    assert known.trials == sum(point.trials for point in held.plan.points)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_as_held(case: Case) -> None:
    checked = check(case.text())
    assert checked.scenario is not None
    compare(checked.scenario, [f"{key}={value}" for key, value in case.pins.items()])


#: Axes of numbers, and of what decides which of them mean anything.
AXES = {
    "pages.op": ["read", "write", "mixed"],
    "pages.order": ["sequential", "strided", "zipf"],
    "pages.batch": ["1", "4", "4", "16"],
    "pages.threads": ["1", "2"],
    "pages.reads": ["50 %", "70 %"],
    "pages.stride": ["2", "3"],
    "pages.skew": ["0.5", "0.99", "1.2"],
    "pages.rate": ["100 /s", "1000 /s"],
    "pages.working_set": ["1 MiB", "1 GiB"],
    "(pages.block, pages.depth)": ["(1 MiB, 1)", "(1 MiB, 2)", "(2 MiB, 2)"],
    "tier": ["disk", "dram"],
    "disk.queue": ["1", "2", "64"],
    "time": ["1 s", "2 s"],
    "cap": ["20 s", "30 s"],
    "until": ["time", "steady"],
    "timeout": ["5 s", "20 min"],
    "trials": ["3", "5"],
    "n": ["1", "2"],
}
CONDITIONS = (
    "pages.batch == 4",
    "tier == disk and disk.queue > 1",
    "not pages.threads == 1 or pages.op == read",
    "pages.batch >= n",
    "time == 1 s",
    "pages.rate == 100 /s",
)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    chosen = draw(st.lists(st.sampled_from(list(AXES)), unique=True, min_size=1, max_size=6))
    varied = {key for path in chosen for key in re.findall(r"[a-z._]+", path)}
    fixed = {
        "tier": "disk",
        "pages.reads": "50 %",
        "pages.stride": "4",
        "seed": "1",
        "time": "1 s",
        **draw(st.sampled_from([{}, {"pages.op": "mixed"}, {"pages.order": "zipf"}, {"until": "steady"}])),
    }
    lines = [f"{path} = {value}" for path, value in fixed.items() if path not in varied]
    lines += [f"{path} in [{', '.join(AXES[path])}]" for path in chosen]
    conditions = st.sampled_from(CONDITIONS)
    lines += [f"skip when {one}" for one in draw(st.lists(conditions, max_size=2))]
    lines += [f"expect errors == 0 when {one}" for one in draw(st.lists(conditions, max_size=1))]
    body = "\n  ".join(lines)
    return f"""kvs 1
let n = 3
tier disk : ssd {{ path = "/a" }}
tier dram : ram {{}}
pattern pages : transfer {{ block = 1 MiB; op = read }}
sweep s {{
  pattern = pages
  {body}
}}
"""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(numbers())
def test_numbers_as_held(text: str) -> None:
    checked = check(text)
    if checked.scenario is not None:
        compare(checked.scenario)


@pytest.mark.parametrize("text", [text for _, _, text in CASES])
def test_problems_as_held(text: str) -> None:
    checked = check(text)
    if checked.scenario is not None:
        compare(checked.scenario)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.name)
def test_scenarios_as_held(path: Path) -> None:
    checked = check_file(path)
    assert checked.scenario is not None and not has_errors(checked.diagnostics)
    compare(checked.scenario)


BIG = """kvs 1
tier disk : posix { path = "./kv-data" }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s {
  pattern = pages
  tier = disk
  seed = 1
  pages.block in linear(4 KiB, 1200 KiB, 300)
  pages.batch in linear(1, 40, 40)
  pages.threads in linear(1, 25, 25)
  skip when pages.batch == 7
  MORE
}
"""


def big(more: str = "") -> Scenario:
    checked = check_source(Source("big.kvs", BIG.replace("MORE", more)), None)
    assert checked.scenario is not None
    return checked.scenario


def test_little_is_held_for_a_point() -> None:
    scenario = big()
    expand(scenario)  # what is made once is no part of the plan
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    plan = expand(scenario).plan
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan is not None and (len(plan.points), len(plan.skipped)) == (300 * 39 * 25, 300 * 25)
    assert (held - before) / (len(plan.points) + len(plan.skipped)) < 100


def test_a_point_is_made_by_its_index() -> None:
    plan = expand(big()).plan
    assert plan is not None and plan.large is not None
    last = plan.points[-1]
    assert last == plan.points[len(plan.points) - 1] and last.index == len(plan.points) - 1
    assert {key: str(value) for key, value in last.axes.items()} == {
        "pages.block": "1200 KiB",
        "pages.batch": "40",
        "pages.threads": "25",
    }
    assert plan.points[3:5] == (plan.points[3], plan.points[4])
    with pytest.raises(IndexError):
        plan.points[len(plan.points)]
    # Those that stand for all have the values of every axis.
    for path, count in (("pages.block", 300), ("pages.batch", 39), ("pages.threads", 25)):
        assert len({str(point.axes[path]) for point in plan.large.points}) >= count
    assert len(plan.large.points) < 2000


def test_time_and_trials_are_those_of_all_points() -> None:
    plan = expand(big("time in [1 s, 2 s]; trials in [2, 3]; warmup = 0 s")).plan
    assert plan is not None and plan.large is not None
    quarter = 300 * 39 * 25
    assert plan.large.trials == quarter * (2 + 2 + 3 + 3)
    assert plan.large.load_ns == quarter * (2 + 3) * (1 + 2) * 10**9
    assert plan_cost(plan, registry()).load_ns == plan.large.load_ns


def test_what_needs_every_point_says_so() -> None:
    found = expand(big(), whole=True)
    assert found.plan is None
    assert [(item.code, "at most 100,000" in item.message) for item in found.diagnostics] == [("KVS107", True)]
    searching = expand(big("find highest pages.threads where latency_p99 <= 1 ms"))
    assert [(item.code, "searches among" in item.message) for item in searching.diagnostics] == [("KVS107", True)]


@pytest.mark.parametrize(
    ("name", "most", "more"),
    [
        ("MOST_PLANNED", 1000, ""),
        ("MOST_BOXES", 3, "pages.op in [read, write]; disk.direct in [true, false]"),
        ("MOST_BOXES", 30, "expect errors == 0 when pages.batch == 3 or pages.threads == 4"),
    ],
)
def test_too_many_are_refused(name: str, most: int, more: str) -> None:
    with mock.patch.object(grid, name, most):
        found = expand(big(more))
    assert found.plan is None and [item.code for item in found.diagnostics] == ["KVS107"]


def test_a_driver_that_looks_is_asked_for_each_number() -> None:
    """The blocks of a large plan that a driver warns of, and an error that only some points have."""
    text = BIG.replace('posix { path = "./kv-data" }', "mooncake { }")
    scenario = check_source(Source("big.kvs", text.replace("MORE", "pages.memory in [dram, vram]")), None).scenario
    assert scenario is not None
    found = expand(scenario)
    assert found.plan is None and [item.code for item in found.diagnostics] == ["KVS302"]
    assert "pages.memory = vram" in found.diagnostics[0].label


def test_the_table_shows_the_first_points_and_what_all_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("big.kvs").write_text(BIG.replace("MORE", "trials = 2; time = 1 s; warmup = 0 s"))
    main(["plan", "big.kvs"], standalone_mode=False)
    out, err = capsys.readouterr()
    assert "... and 292,480 more points" in out
    assert "points   292,500, 7,500 skipped; 585,000 trials" in out
    assert "time     162 h 30 min of load" in out or "time     6 days of load" in out
    assert "KVS140" in err
    with pytest.raises(SystemExit):
        main(["plan", "big.kvs", "--format", "json"], standalone_mode=False)
    assert "KVS107" in capsys.readouterr().err
