"""docs/models.md: its table is the catalogue's."""

from __future__ import annotations

from kvscen.model.catalogue import filled
from tests.e2e.support import ROOT


def test_the_generated_parts_are_up_to_date() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert text.count("<!-- begin: ") == 2
    assert text == filled(text), "run: python -m kvscen.model.catalogue docs/models.md"
