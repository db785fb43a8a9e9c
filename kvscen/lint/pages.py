"""The pages docs/rules/CODE.md of all rules, from what each rule says of itself and from what is shown of its bad file.

`python -m kvscen.lint.pages docs/rules tests/rules` writes them anew. The pages of the other codes are written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from kvscen.language.codes import RuleText
from kvscen.lint import installed_drivers, rule_texts
from kvscen.plugin.registry import registry


def page(text: RuleText, shown: str = "") -> str:
    """The page of a rule in Markdown. `shown` is a diagnostic as it is printed, for the example."""
    example = f"## Example\n\n```text\n{shown.rstrip()}\n```\n\n" if shown else ""
    return (
        f"# {text.code}: {text.title}\n\n"
        f"Severity: {text.severity.value}\n\n"
        f"## What it finds\n\n{text.finds}\n\n"
        f"## Why it matters\n\n{text.why}\n\n"
        f"{example}"
        f"## Remedy\n\n{text.remedy}\n"
    )


def shipped() -> Iterator[RuleText]:
    """The rules that come with kvscen: those of the core and of its own drivers."""
    own = {name for name, ref in registry().refs.items() if ref.distribution == "kvscen"}
    yield from rule_texts(driver for driver in installed_drivers() if driver.name in own)


if __name__ == "__main__":
    pages, examples = Path(sys.argv[1]), Path(sys.argv[2])
    for text in shipped():
        shown = examples / text.code / "expected.txt"
        (pages / f"{text.code}.md").write_text(page(text, shown.read_text("utf-8") if shown.exists() else ""), "utf-8")
