"""`kvscen fmt [PATH]...`: scenario files in their one layout."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.complete import scenarios
from kvscen.cli.files import NOTHING_TO_RUN, files
from kvscen.cli.loading import show

if TYPE_CHECKING:
    from kvscen.language.diagnose import Diagnostic, Source

#: The exit code where a file is not formatted in the end: it would change, or it cannot be read, understood or written.
UNFORMATTED = 1

#: Of a word that has a successor.
RENAMED = "KVS136"

_SUFFIXES = (".kvs", ".md")


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    type=click.Path(path_type=Path, readable=False),
    metavar="[FILE|DIR]...",
    shell_complete=scenarios,
)
@click.option("--check", is_flag=True, help="Write nothing, name the files that would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Write nothing, show what would change.")
@click.option("--upgrade", is_flag=True, help="Also write the new word for one that has a successor.")
def command(paths: Sequence[Path], check: bool, show_diff: bool, upgrade: bool) -> None:
    """Format scenario files, the ```kvs examples in Markdown files, and both in folders (the default is this folder).
    `-` is the standard input, formatted to the standard output.

    There are no options of style, and the meaning is never changed. A file with a syntax error stays as it is.

    Exits with 1 where a file has a problem, or would change with --check or --diff; else with 0.
    """
    from kvscen.language.diagnose import Diagnostic
    from kvscen.language.files import STDIN, read_source

    changed = unchanged = 0
    problems = False
    dry = check or show_diff
    for path in files(paths or (Path(),), _SUFFIXES):
        source = path if isinstance(path, Diagnostic) else read_source(path)
        formatted = (source,) if isinstance(source, Diagnostic) else _formatted(source, upgrade)
        if not isinstance(formatted, str):
            show(formatted)
            problems = True
            continue
        assert isinstance(path, Path) and not isinstance(source, Diagnostic)
        if path == STDIN and not dry:
            click.echo(formatted, nl=False)
            continue
        before = source.text if path == STDIN else path.read_bytes().decode("utf-8")
        if before == formatted:
            unchanged += 1
            continue
        if not dry:
            problem = write_text(path, formatted)
            if problem is not None:
                show((problem,))
                problems = True
                continue
        changed += 1
        if show_diff:
            click.echo(diff_text(source.name, before, formatted), nl=False)
        else:
            click.echo(f"would format {source.name}" if dry else f"formatted {source.name}")
    if changed + unchanged and not show_diff:
        click.echo(_summary(changed, unchanged, dry), err=True)
    if problems or (dry and changed):
        sys.exit(UNFORMATTED)


def _formatted(source: Source, upgrade: bool) -> str | tuple[Diagnostic, ...]:
    from kvscen.language.codes import diagnostic
    from kvscen.language.format import FormatError, format_source
    from kvscen.language.format.markdown import format_page

    page = source.name.endswith(".md")
    if upgrade and not page:
        upgraded = _upgraded(source)
        if isinstance(upgraded, tuple):
            return upgraded
        source = upgraded
    try:
        return format_page(source) if page else format_source(source)
    except FormatError as error:
        return (diagnostic("KVS001", f"{source.name} cannot be formatted: {error}", help="please report this file"),)


def _upgraded(source: Source) -> Source | tuple[Diagnostic, ...]:
    """The text with the new words, or the errors that stand in the way. A file of parts for other files stays: what
    its words are for is seen where they are used."""
    from functools import partial

    from kvscen.language.diagnose import Severity
    from kvscen.lint import lint_source
    from kvscen.lint.mend import mended

    lint = partial(lint_source, folder=Path(source.name).parent)
    errors = tuple(each for each in lint(source).diagnostics if each.severity is Severity.ERROR)
    if any(each.code != NOTHING_TO_RUN for each in errors):
        return errors
    return mended(source, lint, RENAMED)[0]


def write_text(path: Path, text: str) -> Diagnostic | None:
    """The whole file or none of it, with the mode it had. Where the path is a link, the file behind it."""
    from kvscen.language.codes import diagnostic
    from kvscen.results.files import whole_file

    try:
        target = path.resolve(strict=True)
        if not os.access(target, os.W_OK):
            # Its folder might let us put another file in its place; that is not what its owner has allowed.
            raise PermissionError("it is read-only, or another user's")

        def write(temporary: Path) -> None:
            temporary.write_bytes(text.encode("utf-8"))
            shutil.copymode(target, temporary)

        whole_file(target, write)
    except OSError as error:
        return diagnostic(
            "KVS001", f"{path} cannot be written ({error.strerror or error})", help="it is left as it was"
        )
    return None


def diff_text(name: str, before: str, after: str) -> str:
    """A unified diff, line by line. A carriage return or a missing end of the last line is a difference too."""
    lines = difflib.unified_diff(_lines(before), _lines(after), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[:-1]] + [text.rpartition("\n")[2]] * (not text.endswith("\n"))


def _summary(changed: int, unchanged: int, dry: bool) -> str:
    def count(number: int) -> str:
        return f"{number} file{'s' if number != 1 else ''}"

    would = f"{count(changed)} would be formatted" if dry else f"{count(changed)} formatted"
    return f"{would}, {count(unchanged)} in order" if changed else f"{count(unchanged)} in order"
