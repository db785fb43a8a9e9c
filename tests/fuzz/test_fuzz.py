"""The fuzzer finds what fails, shows it small, and finds nothing; and the texts that it could hardly make by chance."""

from __future__ import annotations

import random
import time
from pathlib import Path
from unittest import mock

import pytest

from kvscen.language.files import MAX_BYTES, decode, read_source
from kvscen.lint import lint_file
from tests.fuzz import target
from tests.fuzz.minimise import minimised
from tests.fuzz.target import examine, probe, small_plans
from tests.fuzz.texts import _WAYS, corpus, text_of

#: Other texts for each day's work on the language: change it freely. `make fuzz` draws its own.
SEED = 20261128
LIMIT_S = 60


def hold(numbers: range, until: float = float("inf")) -> None:
    with small_plans():
        for number in numbers:
            if time.monotonic() > until:
                return
            found = probe(text_of(SEED, number), LIMIT_S)
            assert found is None, f"text {number} of seed {SEED}: {found.kind}\n{found.details}"


def test_texts() -> None:
    hold(range(500))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(500, 20_500, 5_000))
def test_more_texts(first: int) -> None:
    hold(range(first, first + 5_000))


@pytest.mark.long
def test_texts_of_five_minutes() -> None:
    hold(range(20_500, 1_000_000), time.monotonic() + 300)


def test_texts_follow_from_their_number() -> None:
    made = [text_of(1, number) for number in range(400)]
    assert made == [text_of(1, number) for number in range(400)]
    assert len(set(made)) > 390 and len(corpus()) > 100
    assert text_of(2, 0) != text_of(1, 0)
    assert all(way(random.Random(7)) for way in _WAYS)


def test_what_fails_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(source: object) -> str:
        assert "disk" not in source.text  # type: ignore[attr-defined]
        return "kvs 1\n"

    monkeypatch.setattr(target, "format_source", broken)
    whole = b"kvs 1\n\ntier dram : memory {}\ntier disk : posix { path = dir }\nlet dir = 3\n"
    found = probe(whole, LIMIT_S)
    assert found is not None and found.kind.startswith("AssertionError at test_fuzz.py")

    def fails(data: bytes) -> bool:
        again = probe(data, LIMIT_S)
        return again is not None and again.kind == found.kind

    assert minimised(whole, fails) == b"disk"


def test_a_hang_is_found() -> None:
    def hangs(data: bytes) -> None:
        while True:
            pass

    with mock.patch.object(target, "examine", hangs):
        found = probe(b"kvs 1\n", 1)
    assert found is not None and found.kind == "Hang"


SWEEP = "sweep s { pattern = p; tier = t; seed = 1 }\ntier t : memory {}\n"
HARD = {
    "brackets": "kvs 1\nlet x = " + "(" * 20_000 + "1" + ")" * 20_000,
    "lists": "kvs 1\nlet x = " + "[" * 20_000 + "]" * 20_000,
    "signs": "kvs 1\nlet x = " + "-" * 10_000 + "1",
    "conditions": f"kvs 1\nsweep s {{ skip when {'not ' * 10_000}a == 1 }}",
    "blocks": "kvs 1\n" + "sweep s { tier t : x {\n" * 5_000,
    "a chain of lets": "kvs 1\n" + "".join(f"let a{i} = a{i + 1}\n" for i in range(2_000)) + "let a2000 = 1\n",
    "a chain of bases": "kvs 1\n" + "".join(f"tier t{i} : t{i + 1} {{}}\n" for i in range(2_000)),
    "a long number": "kvs 1\nlet x = " + "9" * 500_000,
    "a large exponent": "kvs 1\nlet x = 1e" + "9" * 500_000,
    "numbers that grow": "kvs 1\n" + "let a0 = 9e18\n" + "".join(f"let a{i + 1} = a{i} * a{i}\n" for i in range(500)),
    "texts that grow": 'kvs 1\nlet a0 = "xxxxxxxx"\n' + "".join(f"let a{i + 1} = a{i} + a{i}\n" for i in range(500)),
    "lists that grow": "kvs 1\nlet x = linear(1, 9e17, 100000)\nlet y = [x, x, x]\n",
    "huge values": f"kvs 1\npattern p : transfer {{ block = 9e18 B; batch = 9e18; op = read }}\n{SWEEP}",
    "axes of axes": "kvs 1\npattern p : transfer { block = 1 B; op = read }\ntier t : memory {}\nsweep s {\n"
    "  pattern = p; tier = t; seed = 1\n"
    + "".join(f"  p.{name} in linear(1, 9900, 9900)\n" for name in ("batch", "depth", "threads", "processes", "keys"))
    + "}\n",
    "a line of 27 kilobytes": "kvs 1\nlet x = [" + "1, " * 9_000 + "]\n",
    "a comment of a megabyte": "kvs 1\n#" + "x" * 1_000_000,
    "a name of a megabyte": "kvs 1\ntier " + "t" * 1_000_000 + " : memory {}\n",
    "a string of a megabyte": 'kvs 1\nlet x = "' + "\\n" * 400_000 + '"\n',
    "carriage returns": "kvs 1\rlet x = 1\r",
    "lines of Windows": f"kvs 1\npattern p : transfer {{ block = 1 MiB; op = read }}\n{SWEEP}".replace("\n", "\r\n"),
    "tabs": f"\tkvs\t1\n\tpattern\tp\t:\ttransfer\t{{\tblock\t=\t1\tMiB;\top\t=\tread\t}}\n{SWEEP}",
    "a mark of the byte order": f"\ufeffkvs 1\npattern p : transfer {{ block = 1 MiB; op = read }}\n{SWEEP}",
    "two marks of it": "\ufeff\ufeffkvs 1\n",
    "turned text": "kvs 1\nlet x = 1 # \u202e\u2066 }\u2069\n",
    "unseen names": "kvs 1\nlet a\u200bb = 1\nlet x = a\u200cb\n",
    "joined emoji": "kvs 1\n# \U0001f469\u200d\U0001f52c\nlet x = 1\n",
    "no text": "\x00\x00\x00",
}


@pytest.mark.parametrize("name", HARD)
def test_hard_texts(name: str) -> None:
    data = HARD[name].encode()
    with small_plans():
        found = probe(data, LIMIT_S)
    assert found is None, found.kind + found.details


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("lists", {"KVS033"}),
        ("a long number", {"KVS027"}),
        ("carriage returns", {"KVS003"}),
        ("no text", {"KVS003"}),
        ("turned text", {"KVS005"}),
        ("unseen names", {"KVS005"}),
        ("two marks of it", {"KVS005"}),
        ("lines of Windows", set()),
        ("tabs", set()),
        ("a mark of the byte order", set()),
        ("axes of axes", {"KVS107"}),
    ],
)
def test_hard_texts_are_named(name: str, codes: set[str], tmp_path: Path) -> None:
    path = tmp_path / "hard.kvs"
    path.write_bytes(HARD[name].encode())
    found = lint_file(path).diagnostics
    assert {item.code for item in found if item.severity.value == "error"} == codes, found


def test_a_file_of_ten_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.kvs"
    path.write_bytes(b"# no scenario is so long\n" * 400_000)
    assert path.stat().st_size == 10_000_000
    assert [item.code for item in lint_file(path).diagnostics] == ["KVS004"]
    assert getattr(read_source(path), "code", None) == "KVS004"
    assert getattr(decode("stdin", b"x" * (MAX_BYTES + 1)), "code", None) == "KVS004"


def test_a_long_file_is_read() -> None:
    line = b"let x%05d = 1 # as measured, on the machine that the team has for it, and noted here\n"
    lines = [line % number for number in range(1_500)]
    examine(b"kvs 1\n" + b"".join(lines))
