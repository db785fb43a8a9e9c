"""`kvscen doctor` and `kvscen plan --here` on the machine that runs the tests, whatever it is."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main

SCENARIO = """kvs 1
let dir = "./kv"
tier disk : posix { path = dir; direct = false }
tier dram : memory { }
pattern p : transfer { block = 1 MiB; batch = 4; op = write }
sweep s { pattern = p; tier in [disk, dram]; seed = 1; time = 1 s; trials = 2 }
"""


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.kvs").write_text(SCENARIO)


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def checks(done: Result) -> dict[tuple[str, str], dict[str, object]]:
    return {(f["check"], f["subject"]): f for f in json.loads(done.stdout)["findings"]}


def test_the_working_directory_is_looked_at_without_arguments(tmp_path: Path) -> None:
    done = run("doctor", "--format", "json")
    found = checks(done)
    assert done.exit_code == 0
    assert found["folder", "."]["found"] == str(tmp_path)
    assert found["kernel", ""]["severity"] in ("ok", "note")
    assert found["memory-size", ""]["found"]
    assert all(f["why"] and (f["remedy"] or f["severity"] == "note") for f in found.values() if f["severity"] != "ok")


def test_a_scenario_brings_its_folders_and_its_drivers(tmp_path: Path) -> None:
    done = run("doctor", "s.kvs", "--format", "json")
    found = checks(done)
    assert done.exit_code == 0
    assert "4 MiB needed" in str(found["free-space", "./kv"]["found"])
    assert found["driver", "disk (posix)"]["severity"] == found["driver", "dram (memory)"]["severity"] == "ok"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.kvs"], "nothing is left behind"


def test_a_folder_that_cannot_be_is_1() -> None:
    done = run("doctor", "no/such/place", "--format", "json")
    assert done.exit_code == 1
    assert checks(done)["folder", "no/such/place"]["prevents"] is True
    assert run("doctor", "s.kvs", "--set", "dir=no/such/place").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere.kvs"], "error[KVS001]"),
        (["--set", "dir=x"], "none is named"),
        (["s.kvs", "--set", "dri=x"], "error[KVS"),
        (["--format", "yaml"], "yaml"),
    ],
)
def test_mistakes_are_2(arguments: list[str], text: str) -> None:
    done = run("doctor", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr


def test_table_and_csv_say_the_same() -> None:
    text = run("doctor", ".", "s.kvs").stdout
    assert text.splitlines()[-1].endswith("ok")
    rows = list(csv.DictReader(io.StringIO(run("doctor", ".", "s.kvs", "--format", "csv").stdout)))
    assert {row["severity"] for row in rows} <= {"problem", "note", "ok"}
    assert {"kernel", "driver", "folder"} <= {row["check"] for row in rows}


def test_plan_looks_at_the_machine_only_when_asked(tmp_path: Path) -> None:
    assert "\nhere\n" not in run("plan", "s.kvs").stdout
    text = run("plan", "s.kvs", "--here", "--endurance", "disk=600TBW").stdout
    assert "here\n  ./kv (disk)\n    folder       it can be made in " in text
    assert "4 MiB needed" in text
    shown = json.loads(run("plan", "s.kvs", "--here", "--format", "json").stdout)["here"]
    assert shown["possible"] is True
    assert [(p["path"], p["needed_bytes"]) for p in shown["paths"]] == [("./kv", 4 << 20)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.kvs"], "nothing is left behind"


def test_a_plan_that_cannot_run_here_is_1() -> None:
    assert run("plan", "s.kvs", "--set", "dir=no/such/place").exit_code == 0
    done = run("plan", "s.kvs", "--set", "dir=no/such/place", "--here")
    assert done.exit_code == 1
    assert "no/such does not exist" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--endurance", "600TB"], "add --here"),
        (["--here", "--endurance", "lots"], "`lots` is no size"),
        (["--here", "--endurance", "0TB"], "`0TB` is no size"),
        (["--here", "--endurance", "dsk=1PB"], "no tier with a folder is called `dsk`"),
        (["--here", "--format", "csv"], "--here has no rows"),
    ],
)
def test_mistakes_with_here_are_2(arguments: list[str], text: str) -> None:
    done = run("plan", "s.kvs", *arguments)
    assert done.exit_code == 2
    assert text in done.stderr


@pytest.mark.parametrize(
    ("rating", "expected"),
    [("600TB", 600 * 10**12), ("600 TBW", 600 * 10**12), ("1.3PB", 1_300_000 * 10**9), ("1TiB", 1 << 40)],
)
def test_ratings(rating: str, expected: int) -> None:
    shown = json.loads(run("plan", "s.kvs", "--here", "--endurance", rating, "--format", "json").stdout)
    rated = {disk["rated_bytes"] for path in shown["here"]["paths"] for disk in path["disks"]}
    assert rated <= {expected}
