"""The folder of a run: how it is made, what is refused, how it is found again."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import attrs
import pytest

from kvscen.results.errors import ResultsError
from kvscen.results.files import replace
from kvscen.results.folder import (
    check_same_plan,
    create_run_folder,
    new_run_id,
    newest_run,
    open_run_folder,
    write_environment,
    write_inputs,
)
from tests.results.support import RUN_ID, make_plan, make_point

NOON = datetime(2026, 1, 2, 12, 0, 5, tzinfo=UTC)
PLAN = {"scenario": "demo", "points": [{"point_id": "a"}, {"point_id": "b"}]}


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_inputs(folder, make_plan(make_point()), PLAN, {"versions": {"kvscen": "0.1.0"}}, RUN_ID)
    return folder


def test_the_name_says_scenario_and_utc() -> None:
    eastern = NOON.astimezone(timezone(timedelta(hours=5)))
    assert create_run_folder(None, "llama70b", eastern) == Path("runs/llama70b-20260102T120005Z")
    assert create_run_folder(None, "llama70b", NOON) == Path("runs/llama70b-20260102T120005Z-2")
    assert create_run_folder(None, "../up and away", NOON).parent == Path("runs")


def test_an_empty_folder_is_used_and_a_full_one_refused(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert create_run_folder(out, "demo", NOON) == out
    assert create_run_folder(out, "demo", NOON) == out
    (out / "precious.txt").write_text("x")
    with pytest.raises(ResultsError, match=r"is not empty: it holds precious.txt") as caught:
        create_run_folder(out, "demo", NOON)
    assert caught.value.remedy == "give --out a new folder"
    assert (out / "precious.txt").read_text() == "x"


def test_a_run_in_it_can_be_resumed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ResultsError) as caught:
        create_run_folder(run, "demo", NOON)
    assert f"--resume {run}" in caught.value.remedy


def test_a_missing_parent(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"its parent .*missing does not exist") as caught:
        create_run_folder(tmp_path / "missing" / "run", "demo", NOON)
    assert caught.value.remedy == f"mkdir -p {tmp_path / 'missing'}"


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="is a file, not a folder"):
        create_run_folder(tmp_path / "file", "demo", NOON)
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResultsError, match=r"cannot make the folder .*runs: File exists"):
        create_run_folder(None, "demo", NOON)


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs /sys, where nobody can make a folder")
def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(ResultsError, match=r"cannot make the folder /sys/kvscen: .*\(E"):
        create_run_folder(Path("/sys/kvscen"), "demo", NOON)


def test_inputs_are_kept_to_the_byte(tmp_path: Path) -> None:
    text = 'kvs 1\r\nuse "team.kvs"  # ünï\n'
    plan = attrs.evolve(
        make_plan(make_point(), text=text),
        files=(("a/demo.kvs", text), ("a/team.kvs", "1"), ("/etc/team.kvs", "2"), ("../../a/team.kvs", "3")),
    )
    tmp_path.joinpath("run").mkdir()
    run = tmp_path / "run"
    write_inputs(run, plan, PLAN, {"hostname": "vm"}, RUN_ID)
    assert (run / "scenario.kvs").read_bytes() == text.encode()
    kept = {str(p.relative_to(run / "uses")): p.read_text() for p in (run / "uses").rglob("*.kvs")}
    assert kept == {"a/team.kvs": "1", "etc/team.kvs": "2", "up/up/a/team.kvs": "3"}
    opened = open_run_folder(run)
    assert (opened.run_id, opened.plan, opened.environment["hostname"]) == (RUN_ID, PLAN, "vm")
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]


def test_each_resume_keeps_its_own_environment(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert write_environment(run, {"hostname": "other"}, RUN_ID).name == "environment-2.json"
    assert write_environment(run, {"hostname": "third"}, RUN_ID).name == "environment-3.json"
    assert "hostname" not in json.loads((run / "environment.json").read_text())


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there is no folder") as caught:
        open_run_folder(tmp_path / "nothing")
    assert caught.value.remedy == "name the folder that `kvscen run` made"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match=r"is not the folder of a run: it has no plan\.json"):
        open_run_folder(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="is a file, not the folder of a run"):
        open_run_folder(tmp_path / "file")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]", b""])
def test_a_damaged_plan(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path / "run")
    (run / "plan.json").write_bytes(content)
    with pytest.raises(ResultsError, match=r"plan\.json is damaged"):
        open_run_folder(run)


def test_another_schema_version(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "environment.json").write_text('{"schema_version": "7", "versions": {"kvscen": "9.9"}}')
    with pytest.raises(ResultsError, match="is of schema version 7, this kvscen reads 1") as caught:
        open_run_folder(run)
    assert "9.9" in caught.value.remedy


def test_the_newest_run(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there is no run in"):
        newest_run()
    older, newer = make_run(tmp_path / "runs/z"), make_run(tmp_path / "runs/a")
    os.utime(older / "plan.json", ns=(1, 1))
    assert newest_run() == Path("runs") / newer.name
    with pytest.raises(ResultsError) as caught:
        open_run_folder(tmp_path / "typo")
    assert caught.value.remedy.startswith("there is runs/")


def test_resume_refuses_another_plan(tmp_path: Path) -> None:
    run = open_run_folder(make_run(tmp_path / "run"))
    check_same_plan(run, PLAN)
    check_same_plan(run, json.dumps(PLAN))
    with pytest.raises(ResultsError, match="1 of its points are not in that run, and 0 points"):
        check_same_plan(run, {**PLAN, "points": [*PLAN["points"], {"point_id": "c"}]})
    with pytest.raises(ResultsError, match="they differ in seed"):
        check_same_plan(run, {**PLAN, "seed": 3})


def test_run_ids_are_unique() -> None:
    assert len({new_run_id("demo", NOON) for _ in range(20)}) == 20


def test_a_file_appears_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("hal")
        raise OSError(28, "No space left on device")

    with pytest.raises(ResultsError, match=r"cannot write .*table: No space left on device \(ENOSPC\)"):
        replace(path, half)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table"]
