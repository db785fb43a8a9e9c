"""docs/traces.md: every format and column is there as the code has it, and its example is what the command says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.results.reference import rows
from kvscen.trace import COLUMNS, FORMATS
from tests.trace.support import write
from tests.trace.test_known_answers import TRACES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "traces.md").read_text("utf-8")


def test_the_columns_are_those_of_the_schema() -> None:
    assert "\n".join(rows(COLUMNS)) in PAGE


def test_every_format_is_described() -> None:
    for name in FORMATS:
        assert f"\n| `{name}` |" in PAGE and f"\n**`{name}`** " in PAGE


def test_every_option_is_described() -> None:
    said = CliRunner().invoke(main, ["import", "trace", "--help"]).stdout
    options = re.findall(r"^  (--[\w-]+)", said, re.M)
    assert len(options) >= 4
    assert all(f"\n| `{option}" in PAGE for option in options)


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mooncake")
    arguments = ["import", "trace", "m.jsonl", "--out", "mooncake_conversation.parquet"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    (snippet,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    seen: dict[str, object] = {}
    exec(snippet, seen)
    assert seen["blocks"].ids.tolist() == [0, 1, 2, 0, 3, 0, 1, 4]  # type: ignore[attr-defined]


@pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces are not on this machine")
def test_the_example_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mooncake_conversation.jsonl").symlink_to(TRACES / "mooncake_conversation.jsonl")
    (example,) = re.findall(r"^```console\n\$ kvscen (.*?)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    said = CliRunner().invoke(main, example[0].split()).stdout

    # How small the file becomes depends on pyarrow.
    def unsized(text: str) -> str:
        return re.sub(r", \d+ KiB$", "", text, flags=re.M)

    assert unsized(said) == unsized(example[1])
