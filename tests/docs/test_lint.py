"""docs/lint.md: its table is that of the rules, its options and hooks are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.lint.pages import filled

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lint.md").read_text("utf-8")


def test_the_table_is_up_to_date() -> None:
    assert filled(PAGE) == PAGE, "run: python -m kvscen.lint.pages docs tests/rules"


def test_every_option_is_named() -> None:
    said = CliRunner().invoke(main, ["lint", "--help"]).stdout
    options = set(re.findall(r"^  (--[\w-]+)", said, re.MULTILINE)) - {"--help"}
    assert len(options) >= 7 and all(f"{option} " in PAGE or f"`{option}`" in PAGE for option in options)


def test_the_hooks_are_there() -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    named = {hook["id"] for hook in yaml.safe_load(text)["repos"][0]["hooks"]}
    there = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert named == there


def test_what_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", PAGE):
        assert target == "https" or (ROOT / "docs" / target).exists(), target
