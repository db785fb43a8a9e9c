"""The page of each diagnostic's code: docs/rules in a checkout, data of the package in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
#: Where the wheel has them (see hatch_build.py), and where the checkout has them.
_PLACES = (_PACKAGE / "pages", _PACKAGE.parent / "docs" / "rules")


def page(code: str) -> str:
    """The page of a code, in Markdown. FileNotFoundError where the installation has lost it."""
    for place in _PLACES:
        if (place / f"{code}.md").is_file():
            return (place / f"{code}.md").read_text(encoding="utf-8")
    raise FileNotFoundError(f"the page of {code} is neither in {_PLACES[0]} nor in {_PLACES[1]}")
