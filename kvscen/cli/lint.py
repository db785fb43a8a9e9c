"""`kvscen lint PATH...`: check scenario files; nothing is run, and nothing on the machine is looked at unless asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.complete import scenarios
from kvscen.cli.files import NOTHING_TO_RUN, files
from kvscen.language.render import FORMATS, Format, render

if TYPE_CHECKING:
    from kvscen.language.diagnose import Diagnostic, Source
    from kvscen.lint import Linted
    from kvscen.lint.allow import Allowed

#: The exit code of --diff where a file would change.
WOULD_CHANGE = 1


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...", shell_complete=scenarios
)
@click.option("--format", "format_", type=click.Choice([*FORMATS, "sarif"]), default="full", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--here", "on_this_machine", is_flag=True, help="Also look at this machine: space, memory, drivers...")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="TIME|SIZE|SHARE",
    help="Warn of plans that take longer (8h), write more to a tier (2TB), or wear its device more (1%).",
)
@click.option(
    "--endurance", "ratings", multiple=True, metavar="[TIER=]SIZE", help="What a device is rated for: 600TB (TBW)."
)
@click.option("--fix", is_flag=True, help="Mend what can be mended without changing what is measured.")
@click.option("--diff", "show_diff", is_flag=True, help="Write nothing, show what --fix would change.")
def command(
    paths: Sequence[Path],
    format_: str,
    strict: bool,
    on_this_machine: bool,
    budgets: Sequence[str],
    ratings: Sequence[str],
    fix: bool,
    show_diff: bool,
) -> None:
    """Check scenario files, and the .kvs files in folders. `-` is the standard input.

    A line may allow a warning: `# kvs: allow KVS401 because this is a smoke test`.

    Exits with 2 where there is an error (with --strict: or a warning), with 1 where --diff shows something, else with
    0.
    """
    from kvscen.cli.loading import fail
    from kvscen.language.diagnose import Diagnostic, Severity
    from kvscen.language.files import read_source
    from kvscen.lint import lint_source
    from kvscen.lint.budget import BudgetError, read_budget

    try:
        budget = read_budget(budgets, ratings)
    except BudgetError as error:
        fail(str(error))
    look = None
    if on_this_machine:
        from kvscen.lint.here import Look

        look = Look()
    found: dict[object, Diagnostic] = {}
    allowed: dict[object, Allowed] = {}
    count = 0
    changed = False
    for path in files(paths):
        source = path if isinstance(path, Diagnostic) else read_source(path)
        count += isinstance(path, Path)
        if isinstance(source, Diagnostic):
            found[source] = source
            continue
        assert isinstance(path, Path), "a folder without files is a diagnostic"
        lint = partial(lint_source, folder=path.parent, budget=budget, look=look)

        if fix or show_diff:
            better, number = _mend(path, source, lint, show_diff)
            changed = changed or number > 0
            source = better if fix and not show_diff else source
        linted = lint(source)
        for diagnostic in linted.diagnostics:
            if diagnostic.code != NOTHING_TO_RUN:
                # A file that several others use has each of its problems once.
                found.setdefault(_identity(diagnostic), diagnostic)
        for each in linted.allowed:
            allowed.setdefault(_identity(each.diagnostic), each)
    if show_diff:
        sys.exit(WOULD_CHANGE if changed else 0)
    diagnostics = tuple(found.values())
    if format_ == "sarif":
        _sarif(diagnostics, tuple(allowed.values()))
    else:
        _show(diagnostics, format_, count)  # type: ignore[arg-type]
    fatal = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(d.severity in fatal for d in diagnostics):
        sys.exit(2)


def _identity(diagnostic: Diagnostic) -> object:
    return diagnostic.code, str(diagnostic.span), diagnostic.message


def _show(diagnostics: Sequence[Diagnostic], format: Format, count: int) -> None:
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(render(diagnostics, format, color), nl=False)
    if not diagnostics and format in ("full", "concise"):
        click.echo(f"no problems in {count} file{'s' if count != 1 else ''}")


def _sarif(diagnostics: Sequence[Diagnostic], allowed: Sequence[Allowed]) -> None:
    from kvscen.lint import rule_of
    from kvscen.lint.sarif import sarif

    codes = {d.code for d in (*diagnostics, *(each.diagnostic for each in allowed))}
    texts = {code: text for code in codes if (text := rule_of(code)) is not None}
    click.echo(sarif(diagnostics, allowed, texts), nl=False)


def _mend(path: Path, source: Source, lint: Callable[[Source], Linted], dry: bool) -> tuple[Source, int]:
    """The text with its safe fixes, and how many; written unless `dry`."""
    from kvscen.cli.fmt import diff_text, write_text
    from kvscen.cli.loading import show
    from kvscen.language.files import STDIN
    from kvscen.lint.mend import mended

    better, number = mended(source, lint)
    if not number:
        return source, 0
    if dry:
        click.echo(diff_text(source.name, source.text, better.text), nl=False)
    elif path == STDIN:
        raise click.UsageError("--fix writes files: `-` goes with --diff")
    else:
        mark = "\ufeff" if path.read_bytes().startswith(b"\xef\xbb\xbf") else ""
        problem = write_text(path, mark + better.text)
        if problem is not None:
            show((problem,))
            return source, 0
        click.echo(f"mended {number} problem{'s' if number != 1 else ''} in {source.name}", err=True)
    return better, number
