"""`kvscen show`: print a run's table again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail

if TYPE_CHECKING:
    from kvscen.report import Format


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
def command(run: Path | None, form: Format) -> None:
    """Print the table of RUN, a folder that `kvscen run` made. Without RUN: of the newest one in ./runs.

    \b
    A run that was killed is shown as far as it came. The exit code is 0, or 2 where there is no
    such run.
    """
    from kvscen.cli.arrow import light_arrow
    from kvscen.report import load_report, write_report
    from kvscen.results.errors import ResultsError
    from kvscen.results.folder import newest_run

    light_arrow()
    try:
        report = load_report(run if run is not None else newest_run())
    except ResultsError as error:
        fail(str(error), error.remedy)
    write_report(report, form, sys.stdout)
