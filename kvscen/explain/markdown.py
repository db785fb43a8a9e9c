"""A meaning as an editor shows it beside the text."""

from __future__ import annotations

from kvscen.explain.meaning import Meaning


def markdown(found: Meaning) -> str:
    """What it is and its facts, in Markdown. What is long, and commands that tell more, are for a terminal."""
    facts = [f"- {label}: {value}" if label else f"- {value}" for label, value in found.facts]
    head = f"**`{found.name}`**, {found.what}: {found.brief}"
    return "\n".join([head, *(["", *facts] if facts else [])])
