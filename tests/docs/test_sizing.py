"""docs/sizing.md: its table is what the command prints, and it names every cause and key."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.plan.sizing import size_model
from kvscen.report.size import size_json
from tests.model.test_compare import CASES

PAGE = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text("utf-8")


ROOMS = size_model("gpt_oss_20b").with_rooms({"x": 1})


def test_the_table_is_what_is_printed() -> None:
    found = re.search(r"```console\n\$ kvscen (.*?)\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    shown = CliRunner().invoke(main, found[1].split())
    assert (shown.exit_code, shown.output) == (0, found[2])


def test_every_cause_is_in_the_table() -> None:
    rows = PAGE[PAGE.index("| cause |") :].split("\n\n", 1)[0].splitlines()[2:]
    named = [re.findall(r"`(\w+)`", row.split("|")[1])[0] for row in rows]
    assert len(set(named)) == len(named)
    assert set(named) == {cause for _, _, causes in CASES for cause in causes}


def test_every_key_is_named() -> None:
    shown = size_json((size_model("gpt_oss_20b"),), False)
    [size] = shown["sizes"]
    keys = [*shown, *size, *size["exact"], *size["kvbench"], *size["differences"][0]]
    keys += [*size["layers"][0], *size["lengths"][0], *size_json((ROOMS,), False)["sizes"][0]["rooms"][0]]
    assert [key for key in keys if f"`{key}`" not in PAGE] == []
