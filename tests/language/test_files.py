"""Files that are no scenario: each gets one sentence and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.files import MAX_BYTES, decode, read_source


def problem(path: Path) -> Diagnostic:
    found = read_source(path)
    assert isinstance(found, Diagnostic)
    return found


def test_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.kvs"
    path.write_bytes("\ufeffkvs 1\r\n# ü\r\n".encode())
    found = read_source(path)
    assert isinstance(found, Source)
    assert (found.name, found.text) == (str(path), "kvs 1\r\n# ü\r\n")
    assert found.line(1) == "kvs 1"


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "llama70b.kvs").write_text("kvs 1\n")
    assert problem(tmp_path / "lama70b.kvs").help == f"did you mean {tmp_path / 'llama70b.kvs'}?"
    assert problem(tmp_path / "llama70b").help == f"did you mean {tmp_path / 'llama70b.kvs'}?"
    assert problem(tmp_path / "zzz").help == ""
    assert "does not exist either" in problem(tmp_path / "nowhere" / "a.kvs").help
    assert problem(tmp_path / "llama70b.kvs" / "a.kvs").code == "KVS001"
    assert problem(Path("a\0b.kvs")).code == "KVS001"
    assert problem(Path("x" * 5000)).code == "KVS001"


def test_not_a_file(tmp_path: Path) -> None:
    assert "is a folder" in problem(tmp_path).message
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in problem(tmp_path / "pipe").message
    assert problem(Path("/dev/zero")).code == "KVS001"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert problem(tmp_path / "loop").code == "KVS001"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_not_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.kvs"
    path.write_text("kvs 1")
    path.chmod(0)
    assert "permission denied" in problem(path).message


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", "KVS002", "empty"),
        (b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 100, "KVS003", "control character, U+007F"),
        (b"kvs 1\nlet x = \xff\n", "KVS003", "line 2 has the byte 0xff"),
        ("kvs 1".encode("utf-16"), "KVS003", "UTF-16"),
        ("kvs 1".encode("utf-32"), "KVS003", "UTF-16 or UTF-32"),
        (b"kvs 1\nlet x\x00 = 1", "KVS003", "U+0000"),
        (b"kvs 1\rlet x = 1\r", "KVS003", "lone carriage return"),
        (b"\x1b[0mkvs 1", "KVS003", "U+001B"),
        (b"#" * (MAX_BYTES + 1), "KVS004", "more than 1 MiB"),
    ],
)
def test_not_a_scenario(tmp_path: Path, data: bytes, code: str, said: str) -> None:
    found = decode("a.kvs", data)
    assert isinstance(found, Diagnostic)
    assert found.code == code and said in found.message and found.help
    path = tmp_path / "a.kvs"
    path.write_bytes(data)
    assert problem(path).code == code


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.kvs"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    assert problem(path).message == f"{path} has 10240.0 MiB, and a scenario has at most 1 MiB"
