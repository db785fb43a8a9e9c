"""The README is true: its scenario is the shipped one, its commands run as written, its query answers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import pytest

from tests.e2e.support import ROOT, kvscen
from tests.trace.support import write

README = (ROOT / "README.md").read_text()

# What a reader has and a test has not: another disk, an earlier run.
STAND_INS = {
    "/mnt/nvme/kv-data": "./other-data",
    "runs/llama70b-20261120T103510Z": "earlier",
}
# Long enough that a block of 2.5 MiB ends inside, on a disk that others use too; a request of 10 of them instead of 63.
PINS = ("blocks.trials=1", "blocks.time=500 ms", "blocks.warmup=20 ms", "pages.prompt=160 tokens")
SHORT = [word for pin in PINS for word in ("--set", pin)]


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line.partition("  #")[0].strip() for fence in fences("sh") for line in fence.splitlines()]
    return [line.split()[1:] for line in lines if line.startswith("kvscen ")]


def test_the_scenario_is_the_shipped_one_in_ten_lines() -> None:
    (shown,) = fences("kvs")
    assert shown == (ROOT / "scenarios" / "first.kvs").read_text()
    assert len(shown.splitlines()) == 10


@pytest.mark.slow
def test_every_command_runs_as_written(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    write(tmp_path, "mooncake").rename(tmp_path / "mooncake_conversation.jsonl")
    short = [*SHORT, "--set", "pages.requests=1"]
    assert kvscen(tmp_path, "run", "scenarios/llama70b.kvs", *short, "--out", "earlier", fresh=True).returncode == 0
    seen = set()
    for command in commands():
        given = [STAND_INS.get(word, word.replace("/mnt/nvme/kv-data", "./other-data")) for word in command]
        if command[0] == "run":
            given += short if "--resume" in command else SHORT
            # The README asks for 100 requests: 1000 blocks of 2.5 MiB are more than a test may write.
            given = [word.replace("pages.requests=100", "pages.requests=1") for word in given]
        done = kvscen(tmp_path, *given)
        assert done.returncode == 0, (given, done.stdout, done.stderr)
        seen.add(command[0])
    assert seen == {"new", "explain", "lint", "fmt", "doctor", "plan", "size", "predict", "run", "show", "drivers"}
    (query,) = fences("sql")
    answer = duckdb.sql(query.replace("'runs/", f"'{tmp_path}/runs/")).fetchall()
    assert {row[0] for row in answer} == {"read", "write"}


def test_every_page_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets
