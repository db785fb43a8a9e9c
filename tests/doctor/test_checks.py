"""Every finding's text, from machines that are made of files.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/doctor, then read the difference.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import attrs
import pytest

from kvscen.doctor import examine
from kvscen.doctor.case import Case
from kvscen.doctor.examine import DEVICE, MACHINE, PLACE, Diagnosis, diagnose
from kvscen.doctor.finding import Finding
from kvscen.doctor.render import diagnosis_csv, diagnosis_object, diagnosis_text
from kvscen.plan.needs import Needs, PathNeed
from kvscen.plan.point import Tier
from kvscen.plugin.contract import Availability
from kvscen.plugin.probe import DriverReport
from tests.doctor.machines import FOLDER, GOOD, THP, VARIANTS, Machine

GOLDEN = Path(__file__).parent / "golden"
NOTHING = Needs()
PATH = "/mnt/nvme/kv"
#: A scenario with one tier on the path.
DISK = Tier("disk", "posix", None)


TMPFS = attrs.evolve(VARIANTS["tmpfs"], tree={**VARIANTS["tmpfs"].tree, f"{THP}/shmem_enabled": "[never]"})


def needs(direct: bool | None = True, disk: int = 10 << 30, memory: int = 1 << 30, lanes: int = 1) -> Needs:
    return Needs((DISK,), (PathNeed(PATH, ("disk",), disk, direct),), memory, disk, lanes)


def works(name: str, tier: Tier) -> DriverReport:
    return DriverReport(name, available=Availability(True, facts={"io_uring": "works"}))


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("KVSCEN_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def diagnosis(machine: Machine, root: Path, wanted: Needs = NOTHING) -> Diagnosis:
    return diagnose(machine.facts(root), wanted, works)


def test_a_good_machine_has_nothing_to_complain_of(tmp_path: Path) -> None:
    found = diagnosis(Machine(), tmp_path, needs())
    assert [finding for finding in found.findings if finding.severity != "ok"] == []
    assert found.unseen == ()
    check("good.txt", diagnosis_text(found))


def test_every_check_says_something_else_somewhere(tmp_path: Path) -> None:
    """One golden file of what each variant adds to the good machine; together they fail every check."""
    good = {(f.check, f.subject): f for f in diagnosis(Machine(), tmp_path / "good").findings}
    failed: set[str] = set()
    text = ""
    for number, (name, machine) in enumerate(VARIANTS.items()):
        found = diagnosis(machine, tmp_path / str(number))
        new = [f for f in found.findings if f != good.get((f.check, f.subject))]
        gone = tuple(item for item in found.unseen)
        assert new or gone, name
        failed |= {f.check for f in new if f.severity != "ok"}
        text += f"==== {name}\n{diagnosis_text(Diagnosis(tuple(new), gone))}\n"
    check("variants.txt", text)
    every = {c.__name__.replace("_", "-") for c in (*MACHINE, *PLACE, *DEVICE)}
    tested_below = {"memory-size", "dirty-pages", "huge-pages-shared", "file-size"}
    assert every - failed == tested_below


@pytest.mark.parametrize(
    ("machine", "wanted", "expected", "text"),
    [
        (Machine(), needs(memory=100 << 30), "memory-size", "a point needs 100 GiB"),
        (Machine(), needs(direct=False), "memory-size", "read through the page cache"),
        (Machine(), needs(direct=False), "dirty-pages", "up to 11.4 GiB of unwritten data"),
        (Machine(), needs(disk=4 << 40), "free-space", "4 TiB needed"),
        (Machine(), needs(lanes=8), "cpu-count", "the scenario has 8 lanes"),
        (VARIANTS["limits"], needs(), "file-size", "954 MiB; the scenario needs 10 GiB"),
        (VARIANTS["memory limit of version 2"], needs(memory=2 << 30), "memory-size", "1 GiB of them to this control"),
        (TMPFS, NOTHING, "huge-pages-shared", "is on a tmpfs"),
    ],
)
def test_what_the_scenario_asks_for(tmp_path: Path, machine: Machine, wanted: Needs, expected: str, text: str) -> None:
    found = diagnosis(machine, tmp_path, wanted)
    said = [f for f in found.findings if f.check == expected and f.severity != "ok"]
    assert len(said) == 1 and text in said[0].found and said[0].why, found.findings


def test_data_that_is_there_needs_no_space(tmp_path: Path) -> None:
    there = Machine(look=attrs.evolve(FOLDER, exists=True, seen=PATH, free_bytes=1 << 30), held_bytes=10 << 30)
    said = [f for f in diagnosis(there, tmp_path, needs()).findings if f.check == "free-space"]
    assert not said[0].prevents and "10 GiB needed, 10 GiB of them there" in said[0].found


def test_what_prevents_comes_first_and_decides_the_exit(tmp_path: Path) -> None:
    found = diagnosis(attrs.evolve(VARIANTS["no parent"], tree=VARIANTS["governor"].tree), tmp_path)
    assert found.prevented
    assert (found.findings[0].check, found.findings[0].prevents) == ("folder", True)
    assert [f.check for f in found.findings if f.subject == PATH] == ["folder"], "nothing is said of what is around it"


def test_a_driver_that_cannot_run_prevents(tmp_path: Path) -> None:
    def refuses(name: str, tier: Tier) -> DriverReport:
        return DriverReport(name, available=Availability(False, "no such device", "plug it in"))

    found = diagnose(Machine().facts(tmp_path), needs(), refuses)
    first = found.findings[0]
    assert (first.check, first.subject, first.found, first.remedy) == (
        "driver",
        "disk (posix)",
        "no such device",
        "plug it in",
    )
    assert found.prevented


def test_a_blind_machine_is_no_error(tmp_path: Path) -> None:
    machine = Machine(dict.fromkeys(GOOD), look=attrs.evolve(FOLDER, direct_io=None))
    found = diagnosis(machine, tmp_path / "blind")
    assert not any("could not be checked" in f.found for f in found.findings)
    assert len(found.unseen) > 15
    check("blind.txt", diagnosis_text(found))


@pytest.mark.parametrize("garbage", ["", "\x00\xff", "a b c d e f g h i j k", "-1"])
def test_garbage_in_any_file_is_survived(tmp_path: Path, garbage: str) -> None:
    for name in (name for name, text in GOOD.items() if text and not text.startswith("->")):
        facts = Machine({name: garbage}).facts(tmp_path)
        assert not facts.problems, (name, facts.problems)
        found = diagnose(facts, needs(), works)
        assert not any("could not be checked" in f.found for f in found.findings), (name, found.findings)


def test_a_check_that_raises_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> Finding:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr(examine, "MACHINE", (broken, *MACHINE))
    found = diagnosis(Machine(), tmp_path)
    assert (
        next(f for f in found.findings if f.check == "broken").found == "could not be checked: ZeroDivisionError: odd"
    )
    assert len(found.findings) > len(MACHINE)


def test_a_path_that_does_not_answer(tmp_path: Path) -> None:
    facts = attrs.evolve(Machine().facts(tmp_path), file_systems={}, unreadable={PATH: "did not answer within 5 s"})
    found = diagnose(facts, NOTHING, works)
    assert found.findings[0].found == "it could not be looked at: did not answer within 5 s"
    assert found.prevented


def test_formats(tmp_path: Path) -> None:
    found = diagnosis(VARIANTS["governor"], tmp_path)
    shown = json.loads(json.dumps(diagnosis_object(found)))
    assert (shown["can_measure"], shown["problems"], shown["notes"]) == (True, 1, 0)
    assert shown["findings"][0]["check"] == "cpu-governor"
    rows = list(csv.DictReader(io.StringIO(diagnosis_csv(found))))
    assert len(rows) == len(found.findings)
    assert (rows[0]["severity"], rows[0]["check"], rows[0]["prevents"]) == ("problem", "cpu-governor", "false")
    assert max(len(line) for line in diagnosis_text(found, 80).splitlines() if "$ " not in line) <= 80
