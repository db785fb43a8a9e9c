"""The report as people see it: one golden file for each scene.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/report, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvscen.report import load_report, plain_table, report_csv, report_json, report_object
from tests.report.scenes import SCENES, lay_out

GOLDEN = Path(__file__).parent / "golden"


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("KVSCEN_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SCENES)
def test_table(name: str) -> None:
    report = load_report(lay_out(Path("runs") / name, SCENES[name]()))
    text = plain_table(report)
    check(f"{name}.txt", text)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("width", [60, 160])
def test_other_widths(width: int) -> None:
    text = plain_table(load_report(lay_out(Path("runs/wide"), SCENES["wide"]())), width)
    check(f"wide_{width}.txt", text)


def test_a_killed_run_says_the_same_from_its_journal() -> None:
    whole = load_report(lay_out(Path("runs/whole"), SCENES["troubled"]()))
    killed = load_report(lay_out(Path("runs/killed"), SCENES["troubled"](), tables=False))
    check("killed.txt", plain_table(killed))
    assert [point.row for point in killed.points] == [point.row for point in whole.points]


def test_json() -> None:
    check("troubled.json", report_json(load_report(lay_out(Path("runs/troubled"), SCENES["troubled"]()))))


def test_steps() -> None:
    """Of a matrix the object has each step's medians, and a killed run says the same from its journal."""
    whole = load_report(lay_out(Path("runs/traffic"), SCENES["traffic"]()))
    found = report_object(whole)["points"]
    assert [len(point.get("steps", ())) for point in found] == [2, 2, 2, 0]
    first = found[1]["steps"][0]
    assert (first["step"], first["bytes"], first["senders"], first["passes"]) == (0, 32 << 20, 2, 42)
    assert first["latency_median_ns"] == round(11_000_000 * 1.31 * 1.02)
    killed = load_report(lay_out(Path("runs/dead"), SCENES["traffic"](), tables=False))
    assert report_object(killed)["points"] == found


def test_csv() -> None:
    check("two_sweeps.csv", report_csv(load_report(lay_out(Path("runs/two_sweeps"), SCENES["two_sweeps"]()))))
