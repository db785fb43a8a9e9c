"""Each code has a page docs/rules/<code>.md and a folder here.

In it are bad.kvs, good.kvs and expected.txt, which is what lint says of bad.kvs. It may hold other files that bad.kvs
uses, pins.txt, a `--set` on each line, and asked.txt, the `--budget`s of the command. `UPDATE_GOLDEN=1 pytest
tests/rules` writes expected.txt and the example on the page anew: look at the difference before you keep it. Pages of
rules are generated: `python -m kvscen.lint.pages docs tests/rules`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from kvscen.language.codes import CODES, Code
from kvscen.language.files import MAX_BYTES
from kvscen.language.render import render
from kvscen.lint import Linted, lint_file, rules
from kvscen.lint.budget import read_budget
from kvscen.lint.pages import page, shipped
from kvscen.lint.rule import Budget
from tests.rules.machines import MACHINES, look

HERE = Path(__file__).parent
PAGES = HERE.parent.parent / "docs" / "rules"
SECTIONS = ["What it finds", "Why it matters", "Example", "Remedy"]

#: Files that cannot be kept as they are; None: there is none.
MADE: dict[str, bytes | None] = {
    "KVS001": None,
    "KVS003": b'kvs 1\n\nlet dir = "./donn\xe9es"\n',
    "KVS004": b"# no scenario is so long\n" * (MAX_BYTES // 20),
}

#: Codes that a file alone cannot lead to -> the test that does.
BY_HAND: dict[str, str] = {
    "KVS136": "tests/lint/test_rules.py::test_deprecated_words",
    "KVS303": "tests/semantics/test_problems.py::test_one_problem",
}

TEXTS = {text.code: text for text in shipped()}

ALL = [pytest.param(code, id=code.code) for code in CODES.values()]
WITH_FOLDER = [pytest.param(code, id=code.code) for code in CODES.values() if code.code not in BY_HAND]


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code's folder, and the working directory."""
    code = request.node.callspec.params["code"].code
    place = tmp_path / code
    shutil.copytree(HERE / code, place)
    if MADE.get(code) is not None:
        (place / "bad.kvs").write_bytes(MADE[code] or b"")
    monkeypatch.chdir(place)
    return place


def lint(folder: Path, name: str) -> Linted:
    pins = (
        (folder / "pins.txt").read_text().splitlines() if (folder / "pins.txt").exists() and name == "bad.kvs" else ()
    )
    return lint_file(
        Path(name), pins, (), budget(folder), look(folder.name, folder, name) if folder.name in MACHINES else None
    )


def budget(folder: Path) -> Budget | None:
    asked = folder / "asked.txt"
    if not asked.exists():
        return None
    words = shlex.split(asked.read_text())
    given = list(zip(words[::2], words[1::2], strict=True))
    budgets = [value for option, value in given if option == "--budget"]
    return read_budget(budgets, [value for option, value in given if option == "--endurance"])


@pytest.mark.parametrize("code", WITH_FOLDER)
def test_bad_is_shown_as_expected(code: Code, folder: Path) -> None:
    found = lint(folder, "bad.kvs").diagnostics
    assert {d.code for d in found} == {code.code}, render(found)
    shown = render(found)
    golden = HERE / code.code / "expected.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown)
    assert shown == golden.read_text()


@pytest.mark.parametrize("code", WITH_FOLDER)
def test_good_is_good(code: Code, folder: Path) -> None:
    found = lint(folder, "good.kvs").diagnostics
    assert not found, render(found)


@pytest.mark.parametrize("code", ALL)
def test_page(code: Code) -> None:
    place = PAGES / f"{code.code}.md"
    golden = HERE / code.code / "expected.txt"
    shown = golden.read_text() if golden.exists() else ""
    if os.environ.get("UPDATE_GOLDEN"):
        update(place, code.code, shown)
    text = place.read_text()
    if code.code in TEXTS:
        assert text == page(TEXTS[code.code], shown), "run: python -m kvscen.lint.pages docs tests/rules"
    lines = text.splitlines()
    assert lines[0] == f"# {code.code}: {code.title}"
    assert lines[2] == f"Severity: {code.severity.value}"
    sections = [section for section in SECTIONS if section != "Example" or shown]
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] in (SECTIONS, sections)
    for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert section.strip(), "an empty section"
    if code.code in BY_HAND:
        return
    found = EXAMPLE.search(text)
    assert found is not None and found[0] == shown.rstrip("\n"), "the example is not what is shown of bad.kvs"


EXAMPLE = re.compile(r"(?<=## Example\n\n```text\n).*?(?=\n```\n)", re.DOTALL)


def update(place: Path, code: str, shown: str) -> None:
    if code in TEXTS:
        place.write_text(page(TEXTS[code], shown))
    elif shown:
        place.write_text(EXAMPLE.sub(lambda _: shown.rstrip("\n"), place.read_text()))


def test_there_is_nothing_else() -> None:
    assert {p.name for p in HERE.iterdir() if p.name.startswith("KVS")} == set(CODES) - set(BY_HAND)
    assert {p.stem for p in PAGES.glob("KVS*.md")} == set(CODES)


def test_tests_by_hand_are_there() -> None:
    for code, test in BY_HAND.items():
        path, _, name = test.partition("::")
        text = (HERE.parent.parent / path).read_text()
        assert f"def {name}(" in text and code in text


def test_rules() -> None:
    codes = [rule.code for rule in rules()]
    assert len(set(codes)) == len(codes) >= 30
    assert set(codes) <= set(TEXTS)
    assert all(len(text.finds) > 20 and len(text.why) > 20 and len(text.remedy) > 10 for text in TEXTS.values())
