"""Asking a driver in a child process: whatever it does there is an answer here."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvscen.cli.main import main
from kvscen.plugin import Tier
from kvscen.plugin.probe import examine, examine_all
from kvscen.testing.fake import FakeSettings, register

from .installed import GOOD, Installed


def good(name: str, more: str = "", top: str = "") -> dict[str, str]:
    return {f"{name}_mod": top + GOOD.format(name=name) + more}


def kvscen(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["drivers", *arguments])


def test_a_driver_says_what_it_is() -> None:
    report = examine("sim")
    assert (report.distribution, report.kind, report.problem) == ("kvscen", "store", "")
    assert report.available.ok and report.operations == ("mixed", "read", "write") and report.max_processes == 1
    settings = {setting.name: setting for setting in report.settings}
    assert list(settings) == ["bandwidth", "latency", "parallelism", "capacity"]
    assert settings["latency"].required and settings["latency"].type == "a time such as `1.5 s`"
    assert not settings["capacity"].required and settings["capacity"].default is None
    assert {s.name: s.default for s in examine("tiered").settings}["eviction"] == "lru"


def test_what_a_probe_finds(installed: Installed) -> None:
    probe = """
    def probe(self, tier):
        from kvscen.plugin import Availability
        print("noise from Python")
        __import__("os").system("echo noise from a child")
        return Availability(False, "no such device", "buy one", {"driver": "1.2"})
"""
    installed.package("p", "here = here_mod:Good", good("here", probe))
    report = examine("here")
    assert (report.problem, report.available.ok) == ("", False)
    assert (report.available.reason, report.available.remedy) == ("no such device", "buy one")
    assert report.available.facts == {"driver": "1.2"}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise OSError('libcuda is missing')", "its probe raised OSError: libcuda is missing"),
        ("__import__('sys').exit(0)", "its probe raised SystemExit: 0"),
    ],
)
def test_a_probe_that_raises_means_not_here(installed: Installed, code: str, says: str) -> None:
    installed.package("p", "bad = bad_mod:Good", good("bad", f"    def probe(self, tier):\n        {code}\n"))
    report = examine("bad")
    assert report.problem == "" and not report.available.ok and report.available.reason == says
    assert report.summary == "a good one"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import time\nwhile True: time.sleep(60)\n", "its probe did not end within 1 s"),
        ("import os; os._exit(0)\n", "its probe ended without an answer"),
        (
            "import os, sys; sys.stderr.write('assertion failed\\n'); sys.stderr.flush(); os._exit(7)\n",
            "status 7: assert",
        ),
        ("import os; os.kill(os.getpid(), 11)\n", "its probe was killed by SIGSEGV"),
    ],
)
def test_a_plugin_that_hangs_or_crashes_on_import(installed: Installed, code: str, says: str) -> None:
    installed.package("kvscen-bad", "bad = bad_mod:Good", {"bad_mod": code})
    report = examine("bad", limit_s=1.0 if "within" in says else 60.0)
    assert says in report.problem
    assert report.remedy == "update or remove the package: pip uninstall kvscen-bad"


def test_what_a_hung_probe_has_started_is_killed_too(installed: Installed, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"""
import subprocess, time
child = subprocess.Popen(["sleep", "1000"])
open({str(pid)!r}, "w").write(str(child.pid))
time.sleep(1000)
"""
    installed.package("p", "bad = bad_mod:Good", {"bad_mod": code})
    assert "did not end" in examine("bad", limit_s=4.0).problem
    state = Path(f"/proc/{pid.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_tier_is_probed_with_its_settings(installed: Installed) -> None:
    register(installed.folder)
    assert examine("fake").available.ok
    tier = Tier("t", "fake", FakeSettings(fault="unavailable"))
    assert examine("fake", tier).available.reason == "the fake driver is told to be unavailable"
    hung = Tier("t", "fake", FakeSettings(fault="hang_probe"))
    assert "did not end within 1 s" in examine("fake", hung, limit_s=1.0).problem


def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])
    assert examine("sim").problem == ""


def test_all_at_once_in_order() -> None:
    names = ["tiered", "memory", "sim"]
    assert [report.name for report in examine_all(names)] == names


def test_an_unknown_name_is_a_problem_and_not_an_exception() -> None:
    assert examine("nosuch").problem == "no driver is called `nosuch`"


def test_the_table() -> None:
    result = kvscen()
    assert result.exit_code == 0
    for name in ("memory", "posix", "sim", "tiered"):
        assert f"\n{name}" in result.stdout
    assert "kvscen 0.1.0" in result.stdout


def test_json_with_a_driver_that_is_not_available_and_one_that_is_broken(installed: Installed) -> None:
    installed.package(
        "p", "here = here_mod:Good", good("here", "    def probe(self, tier):\n        raise OSError('x')\n")
    )
    installed.package("q", "sim = here_mod:Good")
    result = kvscen("--format", "json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    drivers = {row["name"]: row for row in answer["drivers"]}
    assert drivers["memory"]["available"] is True
    assert drivers["here"] == {
        "name": "here",
        "package": "p",
        "version": "1.0",
        "kind": "store",
        "summary": "a good one",
        "operations": ["mixed", "read", "write"],
        "available": False,
        "reason": "its probe raised OSError: x",
        "remedy": "tell its author",
    }
    assert [problem["name"] for problem in answer["problems"]] == ["sim"] and "sim" not in drivers


def test_problems_are_shown(installed: Installed) -> None:
    installed.package("p", "bad = bad_mod:Good", {"bad_mod": "raise ValueError('no')"})
    installed.package("q", "sim = here_mod:Good")
    result = kvscen()
    assert result.exit_code == 0
    assert "bad cannot be used here: driver `bad` of the package p 1.0" in result.stdout
    assert "error: the driver `sim` is brought by several packages" in result.stderr
    assert "Traceback" not in result.output


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(kvscen("--format", "csv").stdout)))
    memory = next(row for row in rows if row["name"] == "memory")
    assert (memory["package"], memory["available"], memory["operations"]) == ("kvscen", "true", "mixed read write")


def test_one_driver() -> None:
    result = kvscen("tiered")
    assert result.exit_code == 0
    assert "  levels (required)\n" in result.stdout and "  eviction = lru\n" in result.stdout
    assert "ranks that write" in kvscen("memory").stdout and "ranks" not in kvscen("sim").stdout
    answer = json.loads(kvscen("sim", "--format", "json").stdout)
    assert answer["ranks"] is False
    assert [row["name"] for row in answer["settings"]] == ["bandwidth", "latency", "parallelism", "capacity"]
    rows = list(csv.DictReader(io.StringIO(kvscen("sim", "--format", "csv").stdout)))
    assert [row["required"] for row in rows] == ["true", "true", "true", "false"]


@pytest.mark.parametrize(
    ("name", "says", "help"),
    [
        ("memroy", "no driver is called `memroy`; did you mean `memory`?", "installed: "),
        ("lmcache", "no driver is called `lmcache`", "LMCache is not part of this version of kvscen"),
    ],
)
def test_a_driver_that_is_not_there(name: str, says: str, help: str) -> None:
    result = kvscen(name)
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first == f"error: {says}" and help in second


def test_a_broken_driver_by_name(installed: Installed) -> None:
    installed.package("p", "bad = bad_mod:Good", {"bad_mod": "raise ValueError('no')"})
    result = kvscen("bad")
    assert result.exit_code == 2 and "could not be imported: ValueError: no" in result.stderr
