"""What a check says."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

#: `problem` spoils figures, `note` is to be known when they are read, `ok` was looked at and is as it should be.
Severity: TypeAlias = Literal["problem", "note", "ok"]


@attrs.frozen
class Finding:
    """`found` is what the machine says, `why` what it does to figures, `remedy` what to do about it and `command` how,
    where a command does it. `prevents` is true where nothing can be measured as it is. `check` and `subject` (a path, a
    device, a tier, or "" for the machine) are filled in by who runs the checks.
    """

    severity: Severity
    found: str
    why: str = ""
    remedy: str = ""
    command: str = ""
    prevents: bool = False
    check: str = ""
    subject: str = ""


def ok(found: str) -> Finding:
    return Finding("ok", found)


def note(found: str, why: str, remedy: str = "", command: str = "") -> Finding:
    return Finding("note", found, why, remedy, command)


def problem(found: str, why: str, remedy: str = "", command: str = "", prevents: bool = False) -> Finding:
    return Finding("problem", found, why, remedy, command, prevents)
