"""The pages docs/rules/CODE.md of all rules: what each rule says of itself, and what is shown of its bad file.

`python -m kvscen.lint.pages docs tests/rules` writes them anew, and the table in docs/lint.md. The pages of the other
codes are written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kvscen.language.codes import RuleText
from kvscen.lint import installed_drivers, rule_texts
from kvscen.plugin.registry import registry

_MARKED = re.compile(r"(<!-- begin: rules -->\n).*?(<!-- end -->)", re.DOTALL)


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


def table() -> str:
    """All rules in the order of their codes, for docs/lint.md."""
    rows = (
        f"| [{text.code}](rules/{text.code}.md) | {text.severity.value} | {text.title} |\n"
        for text in sorted(shipped(), key=lambda text: text.code)
    )
    return "| code | | what it finds |\n|---|---|---|\n" + "".join(rows)


def filled(text: str) -> str:
    """docs/lint.md with the table as it is now."""
    return _MARKED.sub(lambda match: match[1] + table() + match[2], text)


def _write(docs: Path, examples: Path) -> None:
    for text in shipped():
        shown = examples / text.code / "expected.txt"
        written = page(text, shown.read_text("utf-8") if shown.exists() else "")
        (docs / "rules" / f"{text.code}.md").write_text(written, "utf-8")
    overview = docs / "lint.md"
    overview.write_text(filled(overview.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]), Path(sys.argv[2]))
