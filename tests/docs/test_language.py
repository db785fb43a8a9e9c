"""The pages are true: their scenarios are without a fault and their generated parts are up to date."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from kvscen.language.diagnose import Source
from kvscen.language.parse import parse
from kvscen.language.reference import filled
from kvscen.language.render import render
from kvscen.lint import lint_file

ROOT = Path(__file__).parent.parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def fences(language: str) -> list[object]:
    """The texts in fences of one language: ```kvs is a whole scenario, ```kvs-part a few lines of one."""
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, (kind, text) in enumerate(_FENCE.findall(page.read_text(encoding="utf-8")), start=1)
        if kind == language
    ]


def test_there_are_examples() -> None:
    assert len(fences("kvs")) >= 4


@pytest.mark.parametrize("text", fences("kvs"))
def test_scenarios_have_no_fault(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "scenarios" / "traces", "traces")
    Path("page.kvs").write_text(text, encoding="utf-8")
    found = lint_file(Path("page.kvs")).diagnostics
    assert not found, render(found)


@pytest.mark.parametrize("text", fences("kvs-part"))
def test_parts_can_be_parsed(text: str) -> None:
    whole = parse(Source("page.kvs", f"kvs 1\n{text}"))[1]
    inside = parse(Source("page.kvs", f"kvs 1\nsweep s {{\n{text}\n}}\n"))[1]
    assert not whole or not inside, render(whole) + render(inside)


def test_generated_parts_are_up_to_date() -> None:
    page = ROOT / "docs" / "language.md"
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "run: python -m kvscen.language.reference docs/language.md"
