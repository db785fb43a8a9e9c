"""docs/drivers.md: it shows the example as it is, its tables are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kvscen.plugin import API_VERSION
from kvscen.testing.fake import FAULTS
from kvscen_drivers.command.answer import COLUMNS
from kvscen_drivers.command.template import PLACEHOLDERS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "drivers.md").read_text("utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "kvscen-example"
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SCENARIOS = [text for kind, text in FENCES if kind == "kvs"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kvscen_example.py", "python"),
        ("pyproject.toml", "toml"),
        ("test_kvscen_example.py", "python"),
        ("example.kvs", "text"),
    ],
)
def test_the_example_is_shown_as_it_is(name: str, kind: str) -> None:
    assert (kind, (EXAMPLE / name).read_text("utf-8")) in FENCES


def test_there_are_scenarios_for_what_comes_with_kvscen() -> None:
    for driver in ("nixl", "sim", "tiered", "nixlbench", "command"):
        assert any(f" : {driver} " in text for text in SCENARIOS)


def rows_below(heading: str) -> list[tuple[str, str]]:
    table = PAGE[PAGE.index(heading) :].split("\n\n", 1)[0].splitlines()[2:]
    return [(name.strip(" `"), text.strip()) for _, name, text, _ in (row.split("|") for row in table)]


def test_every_placeholder_is_there() -> None:
    expected = [(f"{{{name}}}", placeholder.help) for name, placeholder in PLACEHOLDERS.items()]
    assert rows_below("| placeholder |") == expected


def test_every_fault_is_there() -> None:
    assert rows_below("| fault |") == list(FAULTS.items())


def test_the_answer_of_a_tool_is_one() -> None:
    [answer] = [json.loads(text) for kind, text in FENCES if kind == "json"]
    assert set(answer) <= set(COLUMNS)


def test_the_version_of_the_contract() -> None:
    assert f"This page is for version {API_VERSION}." in PAGE
