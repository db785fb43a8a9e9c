"""Each code has a page docs/rules/<code>.md and a folder here.

In it are bad.kvs, good.kvs and expected.txt, which is what lint says of bad.kvs. It may hold other files that bad.kvs
uses, and pins.txt, a `--set` on each line. `UPDATE_GOLDEN=1 pytest tests/rules` writes expected.txt and the example on
the page anew: look at the difference before you keep it.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from kvscen.language.codes import CODES, Code
from kvscen.language.files import MAX_BYTES
from kvscen.language.render import render
from kvscen.lint import RULES, Linted, lint_file

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
BY_HAND: dict[str, str] = {"KVS303": "tests/semantics/test_problems.py::test_one_problem"}

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
    return lint_file(Path(name), pins)


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
    page = PAGES / f"{code.code}.md"
    text = page.read_text()
    lines = text.splitlines()
    assert lines[0] == f"# {code.code}: {code.title}"
    assert lines[2] == f"Severity: {code.severity.value}"
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS
    for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert section.strip(), "an empty section"
    if code.code in BY_HAND:
        return
    shown = (HERE / code.code / "expected.txt").read_text().rstrip("\n")
    example = re.compile(r"(?<=## Example\n\n```text\n).*?(?=\n```\n)", re.DOTALL)
    if os.environ.get("UPDATE_GOLDEN"):
        page.write_text(example.sub(lambda _: shown, text))
        text = page.read_text()
    found = example.search(text)
    assert found is not None and found[0] == shown, "the example is not what is shown of bad.kvs"


def test_there_is_nothing_else() -> None:
    assert {p.name for p in HERE.iterdir() if p.name.startswith("KVS")} == set(CODES) - set(BY_HAND)
    assert {p.stem for p in PAGES.glob("KVS*.md")} == set(CODES)


def test_tests_by_hand_are_there() -> None:
    for code, test in BY_HAND.items():
        path, _, name = test.partition("::")
        text = (HERE.parent.parent / path).read_text()
        assert f"def {name}(" in text and code in text


def test_rules_report_warnings_each_its_own() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(CODES[rule.code].severity.value == "warning" for rule in RULES)
