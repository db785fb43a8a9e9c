"""The example of a third-party driver, installed as its own package beside kvscen: found, tested and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "kvscen-example"


class Installation:
    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.place = folder / "installed"
        ignored = shutil.ignore_patterns("__pycache__", "runs", "kv-*", ".*")
        shutil.copytree(EXAMPLE, self.source, ignore=ignored)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self.call(*pip, "--no-deps", "--no-build-isolation", "--target", str(self.place), str(self.source))
        (self.source / "kvscen_example.py").unlink()  # from here on only what is installed can be imported

    def call(self, *command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.place)}
        done = subprocess.run(command, cwd=self.source, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kvscen(self, *arguments: str) -> str:
        return self.call(sys.executable, "-P", "-c", "from kvscen.cli.main import main; main()", *arguments)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    pytest.importorskip("hatchling", reason="the example is built with hatchling, which is not installed")
    yield Installation(tmp_path_factory.mktemp("example"))


def test_kvscen_drivers_shows_it(installation: Installation) -> None:
    answer = json.loads(installation.kvscen("drivers", "--format", "json"))
    assert answer["problems"] == []
    [row] = [row for row in answer["drivers"] if row["name"] == "files"]
    assert (row["package"], row["version"], row["available"]) == ("kvscen-example", "0.1.0", True)
    one = json.loads(installation.kvscen("drivers", "files", "--format", "json"))
    assert [setting["name"] for setting in one["settings"]] == ["path", "sync"]


@pytest.mark.slow
def test_its_own_tests_pass(installation: Installation) -> None:
    said = installation.call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_kvscen_example.py")
    assert " passed" in said and " failed" not in said


@pytest.mark.slow
def test_its_scenario_runs(installation: Installation) -> None:
    installation.kvscen("lint", "--strict", "example.kvs")
    said = installation.kvscen("run", "example.kvs", "--out", "out")
    assert "many_files" in said
    rows = pq.read_table(installation.source / "out" / "trials.parquet").to_pylist()
    assert len(rows) == 12 and {row["status"] for row in rows} == {"ok"}
    ours = [row for row in rows if row["driver"] == "files"]
    assert {row["op"] for row in ours} == {"write", "read"}
    assert all(row["throughput_bytes_per_s"] > 0 and row["verified_bytes"] > 0 for row in ours)
    assert {row["path"] for row in ours} == {"page cache"}
    assert (installation.source / "kv-files" / ".kvscen-files").exists()
