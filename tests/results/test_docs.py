"""docs/results.md: its columns are the schema's, its snippets run, its facts are the code's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvscen.results.reference import up_to_date
from tests.report.scenes import searching
from tests.results.test_tables import a_run, another_run, write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
SNIPPETS = re.findall(r"^```(sql|python)\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_made_parts_are_up_to_date() -> None:
    page = PAGE.read_text("utf-8")
    assert up_to_date(page) == page, "run: python -m kvscen.results.reference docs/results.md"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/one", a_run(), "run-1")
    write(tmp_path / "runs/two", another_run(), "run-2")
    write(tmp_path / "runs/three", searching(), "run-3")


def test_there_are_snippets() -> None:
    assert [kind for kind, _ in SNIPPETS].count("sql") >= 3
    assert [kind for kind, _ in SNIPPETS].count("python") >= 3


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("query", [text for kind, text in SNIPPETS if kind == "sql"])
def test_queries_run(query: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql(query).fetchall()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("snippet", [text for kind, text in SNIPPETS if kind == "python"])
def test_python_runs(snippet: str) -> None:
    for library in re.findall(r"^import (\w+)", snippet, re.M):
        pytest.importorskip(library)
    done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
