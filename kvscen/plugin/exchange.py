"""What goes to other programs and comes from them: command lines of a plan, and scenarios from other tools' files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from kvscen.plan.point import Point


@attrs.frozen
class CommandLine:
    """What a user of a program types for some points: one run, that measures them all.

    `argv` begins with the program; `env` are variables to set for it (`UCX_TLS=tcp`); it is started `processes` times.
    `notes` are sentences about what it does not say as the scenario does. `argv` is empty where there is none. `banner`
    are lines of the program that usually prints it. `two_words`: a flag and its value are words of their own.
    """

    points: tuple[Point, ...]
    argv: tuple[str, ...]
    processes: int = 1
    env: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    banner: tuple[str, ...] = ()
    two_words: bool = False


@attrs.frozen
class Imported:
    """A scenario made from another tool's files. `left_out`: a sentence for each thing that could not be translated;
    they stand in the text as comments too."""

    text: str
    left_out: tuple[str, ...] = ()


@attrs.frozen
class Importer:
    """Reads another tool's files: `kvscen import NAME FILES`. `files` names each of them for the help. `read` gets as
    many paths and raises DriverError, with one sentence, for what it cannot read."""

    name: str
    summary: str
    files: tuple[str, ...]
    read: Callable[[Sequence[Path]], Imported]
