"""`kvscen lint --here` and `--budget`: what drivers say of this machine; the rules themselves have golden files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvscen.cli.main import main
from kvscen.lint import lint_file, rule_of
from kvscen.lint.here import Look, drivers
from kvscen.plugin.contract import Availability
from kvscen.plugin.probe import DriverReport
from tests.doctor.machines import Machine
from tests.plugin.installed import Installed

DRIVER = """
import attrs
from kvscen.plugin import Driver, Finding, RuleText, Severity, Size, setting

@attrs.frozen
class Settings:
    room_bytes: int = setting(Size(), default=0, help="h")

class Theirs(Driver):
    name = "theirs"
    summary = "a third party's"
    settings = Settings
    rules = (RuleText("THEIRS1", "f", "w", "r", title="A title", severity=Severity.WARNING),)

    def lint(self, tier, work):
        yield Finding("THEIRS1", "by the text", "room", "do", Severity.WARNING)

    def lint_here(self, tier, work):
        {here}
"""

TEXT = """kvs 1
tier base : theirs {{ room = 1 GiB }}{comment}
tier t : base {{ }}
pattern p : transfer {{ block = 1 MiB; op = read }}
sweep s {{ pattern = p; tier = t; seed = 1; p.block in [1 MiB, 2 MiB] }}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    place = Installed(tmp_path)
    yield place
    place.close()


def look(tmp_path: Path) -> Look:
    return Look(
        lambda paths: Machine().facts(tmp_path / "machine"),
        lambda name, tier: DriverReport(name, available=Availability(True)),
    )


def lint(installed: Installed, tmp_path: Path, here: str, comment: str = "") -> list[tuple[str, str, str]]:
    installed.package("theirs", "theirs = theirs:Theirs", {"theirs": DRIVER.replace("{here}", here)})
    path = tmp_path / "a.kvs"
    path.write_text(TEXT.format(comment=comment))
    linted = lint_file(path, look=look(tmp_path))
    return [(d.code, d.message, d.span.text if d.span else "") for d in linted.diagnostics]


def test_a_driver_speaks_of_the_text_and_of_this_machine(installed: Installed, tmp_path: Path) -> None:
    said = lint(installed, tmp_path, 'yield Finding("THEIRS1", "here", "room", "do", Severity.WARNING)')
    assert [message for _, message, _ in said] == ["here", "by the text"]
    assert said[0] == ("THEIRS1", "here", "room")
    text = rule_of("THEIRS1")
    assert text is not None and (text.title, text.finds) == ("A title", "f")
    assert rule_of("THEIRS2") is None


def test_what_a_driver_says_can_be_allowed(installed: Installed, tmp_path: Path) -> None:
    allow = "  # kvs: allow THEIRS1 because it is theirs"
    assert lint(installed, tmp_path, "return ()", allow) == []
    typo = [(code, text) for code, _, text in lint_again(tmp_path, "  # kvs: allow THEIRS2 because it is theirs")]
    assert ("KVS041", "THEIRS2") in typo


def lint_again(tmp_path: Path, comment: str) -> list[tuple[str, str, str]]:
    path = tmp_path / "a.kvs"
    path.write_text(TEXT.format(comment=comment))
    return [(d.code, d.message, d.span.text if d.span else "") for d in lint_file(path).diagnostics]


def test_a_driver_that_fails(installed: Installed, tmp_path: Path) -> None:
    said = lint(installed, tmp_path, "raise KeyError('oops')")
    [failed] = [message for code, message, _ in said if code == "KVS303"]
    assert "`theirs`" in failed and "oops" in failed


def test_a_driver_that_hangs(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "PATIENCE_S", 0.05)
    release = threading.Event()
    monkeypatch.setattr("builtins.kvscen_test_release", release, raising=False)
    try:
        said = lint(installed, tmp_path, "import builtins; builtins.kvscen_test_release.wait(60); return ()")
    finally:
        release.set()
    [hung] = [message for code, message, _ in said if code == "KVS303"]
    assert "did not answer" in hung


def test_without_it_nothing_is_looked_at(installed: Installed, tmp_path: Path) -> None:
    installed.package("theirs", "theirs = theirs:Theirs", {"theirs": DRIVER.replace("{here}", "raise SystemExit")})
    assert [code for code, _, _ in lint_again(tmp_path, "")] == ["THEIRS1"]


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, it is looked at for real, and a folder without a parent is found."""
    monkeypatch.chdir(tmp_path)
    text = """kvs 1
tier disk : posix { path = "./missing/kv"; engine = threads }
pattern p : transfer { block = 1 MiB; op = read }
sweep s { pattern = p; tier = disk; seed = 1 }
"""
    (tmp_path / "a.kvs").write_text(text)
    done = CliRunner().invoke(main, ["lint", "a.kvs", "--here", "--format", "concise"])
    assert done.exit_code == 2 and "KVS360" in done.stdout
    assert CliRunner().invoke(main, ["lint", "a.kvs"]).exit_code == 0
    assert not (tmp_path / "missing").exists()


BUDGETS = [
    (["--budget", "10 s"], "KVS413"),
    (["--budget", "10 min"], ""),
    (["--budget", "1 MB"], "KVS414"),
    (["--budget", "1TB"], ""),
    (["--budget", "0.00001%", "--endurance", "600TB"], "KVS415"),
    (["--budget", "0.00001 %", "--endurance", "disk=600TBW"], "KVS415"),
    (["--budget", "0.00001 %", "--endurance", "other=600TBW"], ""),
    (["--budget", "1 %", "--endurance", "600 TB"], ""),
    (["--budget", "10 min", "--budget", "1 MB"], "KVS414"),
]


@pytest.mark.parametrize(("arguments", "code"), BUDGETS)
def test_budgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str) -> None:
    monkeypatch.chdir(tmp_path)
    text = """kvs 1
tier disk : posix { path = "./kv" }
pattern p : transfer { block = 1 MiB; working_set = 64 MiB; op = write }
sweep s { pattern = p; tier = disk; seed = 1 }
"""
    (tmp_path / "a.kvs").write_text(text)
    done = CliRunner().invoke(main, ["lint", "a.kvs", "--format", "concise", *arguments])
    assert code in done.stdout if code else done.stdout.startswith("no problems"), done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--budget", "8"],
        ["--budget", "8 hours"],
        ["--budget", "much"],
        ["--budget", "1 %"],
        ["--budget", "1 h", "--budget", "2 h"],
        ["--budget", "1 %", "--endurance", "much"],
    ],
)
def test_what_is_no_budget(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, ["lint", "-", *arguments], input="")
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
