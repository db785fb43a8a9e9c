"""`kvscen lint PATH...`: check scenario files without running or probing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.complete import scenarios
from kvscen.cli.files import files
from kvscen.language.render import FORMATS, Format, render

if TYPE_CHECKING:
    from kvscen.language.diagnose import Diagnostic

#: A file of parts for other files has nothing to run, and that is no problem until somebody runs it.
_NOTHING_TO_RUN = "KVS123"


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...", shell_complete=scenarios
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="full", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def command(paths: Sequence[Path], format_: Format, strict: bool) -> None:
    """Check scenario files, and the .kvs files in folders. `-` is the standard input.

    Exits with 2 where there is an error (with --strict: or a warning), else with 0.
    """
    from kvscen.language.diagnose import Severity
    from kvscen.lint import lint_file

    found: dict[object, Diagnostic] = {}
    count = 0
    for path in files(paths):
        if not isinstance(path, Path):
            found[path] = path
            continue
        count += 1
        for diagnostic in lint_file(path).diagnostics:
            if diagnostic.code != _NOTHING_TO_RUN:
                # A file that several others use has each of its problems once.
                found.setdefault((diagnostic.code, str(diagnostic.span), diagnostic.message), diagnostic)
    diagnostics = tuple(found.values())
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render(diagnostics, format_, color), nl=False)
    if not diagnostics and format_ in ("full", "concise"):
        click.echo(f"no problems in {count} file{'s' if count != 1 else ''}")
    fatal = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(d.severity in fatal for d in diagnostics):
        sys.exit(2)
