"""`kvscen lint`: what it reads, what it prints, what it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main

GOOD = """kvs 1
tier dram : memory { capacity = 1 GiB }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s { pattern = pages; tier = dram; seed = 1 }
"""
WARNS = GOOD.replace("seed = 1", "seed = 1; trials = 2")
BAD = GOOD.replace("op = read", "op: read")


def lint(*arguments: str, input: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ["lint", *arguments], input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stderr == "" or result.exit_code == 2
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.kvs").write_text(GOOD)
    (tmp_path / "warns.kvs").write_text(WARNS)
    (tmp_path / "bad.kvs").write_text(BAD)
    return tmp_path


def test_exit_codes(here: Path) -> None:
    assert (lint("good.kvs").exit_code, lint("good.kvs").stdout) == (0, "no problems in 1 file\n")
    assert lint("warns.kvs").exit_code == 0
    assert lint("warns.kvs", "--strict").exit_code == 2
    assert lint("good.kvs", "--strict").exit_code == 0
    assert lint("bad.kvs").exit_code == 2
    assert lint("missing.kvs").exit_code == 2
    assert lint().exit_code == 2


def test_formats(here: Path) -> None:
    full = lint("bad.kvs").stdout
    assert full.startswith("error[KVS024]: ") and full.endswith("\n\n1 error\n")
    assert lint("bad.kvs", "--format", "concise").stdout.startswith("bad.kvs:3:45: error[KVS024] ")
    assert lint("bad.kvs", "--format", "github").stdout.startswith("::error file=bad.kvs,line=3,col=45,")
    found = json.loads(lint("bad.kvs", "warns.kvs", "--format", "json").stdout)
    assert (found["errors"], found["warnings"]) == (1, 1)
    assert json.loads(lint("good.kvs", "--format", "json").stdout)["diagnostics"] == []
    assert lint("good.kvs", "--format", "github").stdout == ""
    assert lint("good.kvs", "--format", "xml").exit_code == 2


def test_folders(here: Path) -> None:
    (here / "deep" / ".hidden").mkdir(parents=True)
    (here / "deep" / "a.kvs").write_text(GOOD)
    (here / "deep" / "note.txt").write_text("no scenario")
    (here / "deep" / ".hidden" / "b.kvs").write_text(BAD)
    assert lint("deep").stdout == "no problems in 1 file\n"
    assert lint("deep", "deep/a.kvs").stdout == "no problems in 1 file\n"
    everything = lint(".", "--format", "concise")
    assert everything.exit_code == 2
    assert [line.split(":")[0] for line in everything.stdout.splitlines()[:-1]] == ["bad.kvs", "warns.kvs"]
    (here / "empty").mkdir()
    nothing = lint("empty")
    assert nothing.exit_code == 2 and "empty holds no .kvs files" in nothing.stdout


def test_standard_input(here: Path) -> None:
    assert lint("-", input=GOOD).exit_code == 0
    result = lint("-", "--format", "concise", input=BAD)
    assert result.exit_code == 2 and result.stdout.startswith("<stdin>:3:45: ")
    assert "KVS002" in lint("-", input="").stdout
    assert "KVS003" in lint("-", input=b"\xff\xfe\x00").stdout
    assert "KVS004" in lint("-", input="#" * (1024 * 1024 + 1)).stdout


def test_files_of_parts(here: Path) -> None:
    """A file with nothing to run is no problem to lint; a problem in a file that several use is shown once."""
    (here / "parts.kvs").write_text("kvs 1\ntier dram : memory { capacity = 1 GiB }\n")
    assert lint("parts.kvs").exit_code == 0
    (here / "parts.kvs").write_text("kvs 1\ntier dram : memory { capacity: 1 GiB }\n")
    for name in ("x.kvs", "y.kvs"):
        (here / name).write_text(GOOD.replace("tier dram : memory { capacity = 1 GiB }", 'use "parts.kvs"'))
    result = lint("x.kvs", "y.kvs", "parts.kvs", "--format", "concise")
    assert result.exit_code == 2
    assert result.stdout.count("parts.kvs:2:30") == 1, result.stdout
