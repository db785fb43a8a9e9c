"""`kvscen lint PATH...`: check scenario files without running or probing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.language.render import FORMATS, Format, render

if TYPE_CHECKING:
    from kvscen.language.diagnose import Diagnostic

#: A file of parts for other files has nothing to run, and that is no problem until somebody runs it.
_NOTHING_TO_RUN = "KVS123"


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="full", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def command(paths: Sequence[Path], format_: Format, strict: bool) -> None:
    """Check scenario files, and the .kvs files in folders. `-` is the standard input.

    Exits with 2 where there is an error (with --strict: or a warning), else with 0.
    """
    from kvscen.language.diagnose import Severity
    from kvscen.lint import lint_file

    found: dict[object, Diagnostic] = {}
    files = 0
    for path in _files(paths):
        if not isinstance(path, Path):
            found[path] = path
            continue
        files += 1
        for diagnostic in lint_file(path).diagnostics:
            if diagnostic.code != _NOTHING_TO_RUN:
                # A file that several others use has each of its problems once.
                found.setdefault((diagnostic.code, str(diagnostic.span), diagnostic.message), diagnostic)
    diagnostics = tuple(found.values())
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render(diagnostics, format_, color), nl=False)
    if not diagnostics and format_ in ("full", "concise"):
        click.echo(f"no problems in {files} file{'s' if files != 1 else ''}")
    fatal = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(d.severity in fatal for d in diagnostics):
        sys.exit(2)


def _files(paths: Sequence[Path]) -> Iterator[Path | Diagnostic]:
    """The files that the arguments mean, in their order, each once; a folder without any is a problem."""
    from kvscen.language.codes import diagnostic

    seen: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            if path not in seen:
                seen.add(path)
                yield path
            continue
        inside = sorted(_scenarios(path))
        if not inside:
            yield diagnostic(
                "KVS001", f"{path} holds no .kvs files", help="name a scenario, or a folder with scenarios"
            )
        for file in inside:
            if file not in seen:
                seen.add(file)
                yield file


def _scenarios(folder: Path) -> Iterator[Path]:
    """The .kvs files below a folder; hidden folders are passed over, and links to folders are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place) / name for name in files if name.endswith(".kvs"))
