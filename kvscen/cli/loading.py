"""From the arguments of `plan` and `run` to a plan: warnings on stderr, errors rendered there with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kvscen.cli import complete
from kvscen.language.diagnose import Diagnostic, has_errors
from kvscen.plan.point import Plan

#: The exit code where the scenario or the command is wrong.
USAGE = 2

F = TypeVar("F", bound=Callable[..., Any])


def scenario_arguments(command: F) -> F:
    """SCENARIO [--set path=value]... [--sweep NAME]..."""
    command = click.option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="NAME",
        shell_complete=complete.sweeps,
        help="Only this sweep. May be given several times.",
    )(command)
    command = click.option(
        "--set",
        "pins",
        multiple=True,
        metavar="PATH=VALUE",
        shell_complete=complete.pins,
        help="Fix a setting, an axis or a `let`: --set pages.requests=100. May be given several times.",
    )(command)
    return click.argument("scenario", type=click.Path(path_type=Path), shell_complete=complete.scenarios)(command)


def load_plan(scenario: Path, pins: Sequence[str], sweeps: Sequence[str], *, whole: bool = True) -> Plan:
    """The plan of a scenario, which may be large unless it is to be held `whole`. Ends the program where it has
    errors."""
    from kvscen.lint import lint_file

    linted = lint_file(scenario, pins, sweeps, whole=whole)
    if linted.plan is None or has_errors(linted.diagnostics):
        refuse(linted.diagnostics)
    show(linted.diagnostics)
    return linted.plan


def show(diagnostics: Iterable[Diagnostic]) -> None:
    from kvscen.language.render import render

    text = render(diagnostics, "full", color=sys.stderr.isatty())
    if text:
        click.echo(text, err=True, nl=False)


def refuse(diagnostics: Iterable[Diagnostic]) -> NoReturn:
    show(diagnostics)
    sys.exit(USAGE)


def fail(message: str, remedy: str = "", code: int = USAGE) -> NoReturn:
    """End with one sentence and what to do."""
    click.echo(f"error: {message}", err=True)
    if remedy:
        click.echo(f"  help: {remedy}", err=True)
    sys.exit(code)
