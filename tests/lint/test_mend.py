"""What `kvscen lint --fix` changes, and that it changes nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.language.diagnose import Source
from kvscen.lint import Linted, lint_source
from kvscen.lint.mend import mended

BEFORE = """kvs 1

use models

# How large a block is.
let size = 1 MiB  # of one page
let half = size / 2
let unused = half
tier dram : memory { }

pattern pages : transfer {
  block = size  # in bytes
  op    = read
}

sweep s {
  pattern = pages
  tier    = dram
  # three sizes
  pages.block in [1 MiB, 1024 KiB, 4 MiB]  # twice the same
  expect errors == 0
  trials = 5  # the default
  expect errors == 0
}
"""
AFTER = """kvs 1


# How large a block is.
let size = 1 MiB  # of one page
tier dram : memory { }

pattern pages : transfer {
  block = size  # in bytes
  op    = read
}

sweep s {
  pattern = pages
  tier    = dram
  # three sizes
  pages.block in [1 MiB, 4 MiB]  # twice the same
  expect errors == 0
  trials = 5  # the default
  seed = 0
}
"""


def lint(source: Source) -> Linted:
    return lint_source(source, None)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_safe(newline: str) -> None:
    before = Source("a.kvs", BEFORE.replace("\n", newline))
    after, count = mended(before, lint)
    assert after.text == AFTER.replace("\n", newline)
    assert count == 6
    assert lint(after).diagnostics == ()
    assert mended(after, lint) == (after, 0)


def test_the_plan_is_the_same() -> None:
    before = lint(Source("a.kvs", BEFORE)).plan
    after = lint(Source("a.kvs", AFTER)).plan
    assert before is not None and after is not None
    assert [(point.id, point.work) for point in before.points] == [(point.id, point.work) for point in after.points]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("let a = 1; let b = 2", "let b = 2"),
        ("let b = 2; let a = 1", "let b = 2"),
        ("let b = 2; let a = 1; let c = b", "let b = 2; let c = b"),
        ("let b = 2; let c = b; let a = 1  # why", "let b = 2; let c = b  # why"),
        ("  let a = 1  # why\nlet b = 2", "    # why\nlet b = 2"),
    ],
)
def test_comments_and_neighbours_stay(before: str, after: str) -> None:
    rest = """
tier dram : memory { }
pattern pages : transfer { block = 1 MiB; op = read }
sweep s { pattern = pages; tier = dram; seed = 1; trials = 3 + b }
"""
    if "let c" in before:
        rest = rest.replace("3 + b", "3 + c")
    source, count = mended(Source("a.kvs", f"kvs 1\n{before}{rest}"), lint)
    assert (source.text, count) == (f"kvs 1\n{after}{rest}", 1)


def test_one_line_sweeps() -> None:
    text = "kvs 1\ntier dram : memory { }\npattern p : transfer { block = 1 MiB; op = read }\nsweep s { "
    source, _ = mended(Source("a.kvs", text + "pattern = p; tier = dram }"), lint)
    assert source.text == text + "pattern = p; tier = dram; seed = 0 }"


def test_a_text_with_errors_stays() -> None:
    source = Source("a.kvs", BEFORE.replace("op    = read", "op    = raed"))
    assert mended(source, lint) == (source, 0)


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, ["lint", *arguments], input=input)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.kvs"
    path.write_bytes(b"\xef\xbb\xbf" + BEFORE.encode())
    shown = run("a.kvs", "--diff")
    assert shown.exit_code == 1 and "\n-let unused = half\n" in shown.stdout and "\n+  seed = 0\n" in shown.stdout
    assert path.read_bytes()[3:] == BEFORE.encode()
    done = run("a.kvs", "--fix")
    assert (done.exit_code, done.stdout) == (0, "no problems in 1 file\n")
    assert "mended 6 problems in a.kvs" in done.stderr
    assert path.read_bytes() == b"\xef\xbb\xbf" + AFTER.encode()
    again = run("a.kvs", "--diff")
    assert (again.exit_code, again.stdout) == (0, "")


def test_the_standard_input(tmp_path: Path) -> None:
    assert run("-", "--diff", input=BEFORE).exit_code == 1
    refused = run("-", "--fix", input=BEFORE)
    assert refused.exit_code == 2 and "`-` goes with --diff" in refused.stderr


def test_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.kvs"
    path.write_text(BEFORE)
    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.W_OK)
    said = run(str(path), "--fix")
    assert "KVS001" in said.stderr and "KVS402" in said.stdout
    assert path.read_text() == BEFORE
