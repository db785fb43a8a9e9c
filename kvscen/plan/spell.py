"""Command lines of another program for the points of a plan, as text for a shell, as JSON and as rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from kvscen.language.values import format_value
from kvscen.plugin.exchange import CommandLine


def as_text(lines: Sequence[CommandLine]) -> Iterator[str]:
    """Lines of a shell script: what each command is for and what it does not say are comments."""
    for number, line in enumerate(lines):
        if number:
            yield ""
        for point in line.points:
            axes = ", ".join(f"{path} = {format_value(value)}" for path, value in point.axes.items())
            tier = f"tier {point.tier.name} ({point.tier.driver})"
            yield f"# {point.id}  " + ", ".join(
                part for part in (axes, tier if "tier" not in point.axes else "") if part
            )
        if line.processes > 1:
            yield f"# {line.processes} processes"
        yield from (f"# {note}" for note in line.notes)
        yield from (f"# {text}" for text in line.banner)
        if line.argv:
            yield " \\\n    ".join(_words(line))


def _words(line: CommandLine) -> list[str]:
    """The parts of a command that stand on lines of their own, quoted for a shell."""
    program, *words = map(shlex.quote, line.argv)
    variables = (f"{name}={shlex.quote(value)}" for name, _, value in (word.partition("=") for word in line.env))
    first = " ".join((*variables, program))
    if line.two_words:
        words = [f"{name} {value}" for name, value in zip(words[::2], words[1::2], strict=True)]
    return [first, *words]


def as_json(program: str, lines: Sequence[CommandLine]) -> dict[str, Any]:
    return {
        "program": program,
        "commands": [
            {
                "point_ids": [point.id for point in line.points],
                "sweep": line.points[0].sweep,
                "tier": line.points[0].tier.name,
                "processes": line.processes,
                "env": list(line.env),
                "argv": list(line.argv),
                "notes": list(line.notes),
            }
            for line in lines
        ],
    }


def as_rows(lines: Sequence[CommandLine]) -> Iterator[dict[str, Any]]:
    """One row for each command; its points are separated by blanks, its notes by `; `."""
    for line in lines:
        yield {
            "point_ids": " ".join(point.id for point in line.points),
            "sweep": line.points[0].sweep,
            "tier": line.points[0].tier.name,
            "processes": line.processes,
            "command": " ".join(_words(line)) if line.argv else "",
            "notes": "; ".join(line.notes),
        }
