"""The grammar itself and the cache of its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvscen.language import grammar

PARSE = """
from kvscen.language.diagnose import Source
from kvscen.language.parse import parse
print(parse(Source('a', 'kvs 1'))[1])
"""


def test_the_grammar_has_no_conflict() -> None:
    pytest.importorskip("interegular")
    grammar.build(strict=True)


def run(cache: Path, code: str = PARSE) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_tables_are_cached_and_rebuilt_where_they_are_torn(tmp_path: Path) -> None:
    assert run(tmp_path) == "()"
    (cached,) = (tmp_path / "kvscen").iterdir()
    whole = cached.read_bytes()
    assert run(tmp_path) == "()"
    assert cached.read_bytes() == whole, "it was read, not written again"
    for damaged in (whole[: len(whole) // 2], whole[:70], b"", b"\x00" * 1000):
        cached.write_bytes(damaged)
        assert run(tmp_path) == "()"
        assert len(cached.read_bytes()) > len(whole) * 0.9


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_a_cache_that_can_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert run(tmp_path) == "()"


def test_a_cache_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "kvscen").write_text("in the way")
    assert run(tmp_path) == "()"


def test_lark_is_imported_only_to_parse(tmp_path: Path) -> None:
    code = "import sys, kvscen.language.parse, kvscen.language.render, kvscen.cli.main; print('lark' in sys.modules)"
    assert run(tmp_path, code) == "False"
