"""Every page is found from docs/README.md."""

from __future__ import annotations

import re

from tests.e2e.support import ROOT

DOCS = ROOT / "docs"


def test_every_page_is_listed_and_there() -> None:
    linked = {target.rstrip("/") for target in re.findall(r"\]\(([^)#:]+)\)", (DOCS / "README.md").read_text())}
    assert all((DOCS / target).exists() for target in linked), linked
    pages = {page.relative_to(DOCS).as_posix() for page in (*DOCS.glob("*.md"), *DOCS.glob("measurements/*.md"))}
    assert pages - {"README.md"} <= linked
