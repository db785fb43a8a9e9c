"""docs/predict.md: its examples are what is printed, and every option and key is named."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from tests.predict.support import BY_HAND, mooncake
from tests.traces import FOLDER, MOONCAKE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "predict.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```console\n\$ kvscen (.*?)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("line", "expected"), [pytest.param(*each, id=each[0][:60]) for each in EXAMPLES])
def test_the_examples_are_what_is_printed(line: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "sizing.kvs" in line:
        monkeypatch.chdir(ROOT / "scenarios")
    elif not (FOLDER / MOONCAKE).exists():
        pytest.skip(f"no traces in {FOLDER}")
    else:
        monkeypatch.chdir(FOLDER)
    shown = CliRunner().invoke(main, shlex.split(line))
    assert (shown.exit_code, shown.output) == (0, expected)


def test_every_option_is_described() -> None:
    said = CliRunner().invoke(main, ["predict", "--help"]).stdout
    options = set(re.findall(r"(--[\w-]+)", said)) - {"--help"}
    assert len(options) >= 14
    assert [option for option in options if not re.search(rf"\n\|[^|]*`{option}[` ]", PAGE)] == []


def test_every_key_is_named(tmp_path: Path) -> None:
    path = mooncake(tmp_path / "t.jsonl", BY_HAND)
    found = json.loads(CliRunner().invoke(main, ["predict", str(path), "--format", "json"]).stdout)
    parts = [found, found["limit"], found["reached"][0], found["capacities"][0], found["curve"][0]]
    scenario = str(ROOT / "scenarios" / "sizing.kvs")
    mixes = json.loads(CliRunner().invoke(main, ["predict", scenario, "--format", "json"]).stdout)
    point = mixes["points"][-1]
    parts += [mixes, point, point["levels"][0], point["edges"][0]]
    assert [key for part in parts for key in part if f"`{key}`" not in PAGE] == []


def test_the_scenario_is_the_shipped_one() -> None:
    (shown,) = re.findall(r"^```kvs\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    shipped = (ROOT / "scenarios" / "sizing.kvs").read_text("utf-8")

    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines(shown) == lines(shipped)
