"""A large plan, whose points are made when they are asked for, is the plan that holds them all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvscen.language.check import check_file
from kvscen.language.diagnose import Diagnostic, has_errors
from kvscen.language.scenario import Scenario
from kvscen.plan import expand as expanding
from kvscen.plan.expand import Expanded, expand
from kvscen.plan.large import Made
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
    return sorted((item.code, item.message, str(item.span), item.label) for item in diagnostics)


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


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
