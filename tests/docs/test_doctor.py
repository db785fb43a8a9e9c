"""docs/doctor.md names every check, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from kvscen.doctor.examine import DEVICE, MACHINE, PLACE

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()


def test_every_check_has_its_row() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = re.findall(r"`([a-z-]+)`", " ".join(rows))
    known = [check.__name__.replace("_", "-") for check in (*MACHINE, *PLACE, *DEVICE)]
    assert sorted(named) == sorted([*known, "readable"])
    assert "`driver`" in PAGE
