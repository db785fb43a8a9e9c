"""`kvscen fmt`: what it reads and writes, what it prints, what it ends with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main

GOOD = "kvs 1\ntier dram : memory { capacity = 1 GiB }\n"
UGLY = "kvs 1\ntier dram:memory{capacity=1GiB}"
BAD = "kvs 1\ntier dram : memory { capacity: 1 GiB }\n"
PAGE = "# Page\n\n```kvs\n{}```\n"


def fmt(*arguments: str, input: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, ["fmt", *arguments], input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(**files: str) -> None:
    for name, text in files.items():
        Path(f"{name}.kvs").write_bytes(text.encode())


def test_a_folder_is_formatted_but_for_what_is_wrong(here: Path) -> None:
    put(good=GOOD, ugly=UGLY, bad=BAD)
    Path("page.md").write_text(PAGE.format(UGLY + "\n"))
    Path("note.txt").write_text(UGLY)
    result = fmt()
    assert result.exit_code == 1
    assert result.stdout == "formatted page.md\nformatted ugly.kvs\n"
    assert "error[KVS024]" in result.stderr and "bad.kvs:2:" in result.stderr
    assert result.stderr.endswith("2 files formatted, 1 file in order\n")
    assert Path("ugly.kvs").read_text() == Path("good.kvs").read_text() == GOOD
    assert (Path("bad.kvs").read_text(), Path("note.txt").read_text()) == (BAD, UGLY)
    assert Path("page.md").read_text() == PAGE.format(GOOD)
    assert {path.name for path in Path().iterdir()} == {"bad.kvs", "good.kvs", "note.txt", "page.md", "ugly.kvs"}
    assert fmt("ugly.kvs", "good.kvs", "page.md").exit_code == 0


def test_check_and_diff_write_nothing(here: Path) -> None:
    put(good=GOOD, ugly=UGLY)
    result = fmt("--check", ".")
    assert (result.exit_code, result.stdout) == (1, "would format ugly.kvs\n")
    result = fmt("--diff", "good.kvs", "ugly.kvs")
    assert result.exit_code == 1
    assert result.stdout == (
        "--- ugly.kvs\n+++ ugly.kvs\n@@ -1,2 +1,2 @@\n kvs 1\n-tier dram:memory{capacity=1GiB}\n"
        "\\ No newline at end of file\n+tier dram : memory { capacity = 1 GiB }\n"
    )
    assert Path("ugly.kvs").read_text() == UGLY
    assert fmt("--check", "good.kvs").exit_code == fmt("--diff", "good.kvs").exit_code == 0


def test_the_standard_input(here: Path) -> None:
    result = fmt("-", input=UGLY)
    assert (result.exit_code, result.stdout, result.stderr) == (0, GOOD, "")
    result = fmt("-", input=BAD)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "<stdin>:2:" in result.stderr
    assert fmt("-", "--check", input=UGLY).exit_code == 1
    assert fmt("-", "--check", input=GOOD).exit_code == 0


def test_the_mark_of_windows_and_its_ends_of_lines_go(here: Path) -> None:
    put(windows="\ufeff" + GOOD.replace("\n", "\r\n"), marked="\ufeff" + GOOD)
    assert fmt("--check", ".").stdout == "would format marked.kvs\nwould format windows.kvs\n"
    assert fmt(".").exit_code == 0
    assert Path("windows.kvs").read_bytes() == Path("marked.kvs").read_bytes() == GOOD.encode()


def test_mode_and_links_stay(here: Path) -> None:
    put(ugly=UGLY)
    Path("ugly.kvs").chmod(0o640)
    Path("link.kvs").symlink_to("ugly.kvs")
    assert fmt("link.kvs").exit_code == 0
    assert Path("link.kvs").is_symlink()
    assert Path("ugly.kvs").read_text() == GOOD
    assert stat.S_IMODE(Path("ugly.kvs").stat().st_mode) == 0o640


def test_a_file_that_is_in_order_is_not_written(here: Path) -> None:
    put(good=GOOD)
    before = Path("good.kvs").stat()
    fmt("good.kvs")
    assert Path("good.kvs").stat() == before


def test_what_users_get_wrong(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(ugly=UGLY)
    Path("empty").mkdir()
    for arguments, said in (
        (["missing.kvs"], "missing.kvs does not exist"),
        (["empty"], "empty holds no .kvs or .md files"),
        (["uglv.kvs"], "did you mean ugly.kvs?"),
        (["missing/ugly.kvs"], "does not exist"),
        (["ugly.kvs/x"], "does not exist"),
    ):
        result = fmt(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("error[KVS001]") and said in result.stderr
    assert fmt("--unknown").exit_code == 2
    # A superuser may write everything, so permissions are played.
    monkeypatch.setattr("os.access", lambda path, mode, **_: mode != os.W_OK)
    result = fmt("ugly.kvs")
    assert result.exit_code == 1 and "ugly.kvs cannot be written" in result.stderr
    assert Path("ugly.kvs").read_text() == UGLY


def test_a_disk_that_is_full(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        path.open("wb").close()
        raise OSError(28, "No space left on device")

    put(ugly=UGLY)
    monkeypatch.setattr(Path, "write_bytes", full)
    result = fmt("ugly.kvs")
    assert result.exit_code == 1 and "ugly.kvs cannot be written (No space left on device)" in result.stderr
    assert list(Path().iterdir()) == [Path("ugly.kvs")] and Path("ugly.kvs").read_text() == UGLY


def test_a_bug_of_the_formatter_leaves_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(ugly=UGLY)
    monkeypatch.setattr("kvscen.language.format.write", lambda lines: "kvs 1\n")
    result = fmt("ugly.kvs")
    assert result.exit_code == 1 and "cannot be formatted" in result.stderr
    assert Path("ugly.kvs").read_text() == UGLY
