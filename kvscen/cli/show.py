"""`kvscen show`: print a run's table again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kvscen.report import FORMATS, Format, load_report, write_report
from kvscen.results.errors import ResultsError
from kvscen.results.folder import newest_run


@click.command("show", short_help="Print a run's table again.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print it."
)
def command(run: Path | None, format_: Format) -> None:
    """Print the table of RUN, a folder that `kvscen run` made. Without RUN: of the newest one in ./runs.

    A run that was killed is shown as far as it came.
    """
    try:
        folder = run if run is not None else newest_run()
        report = load_report(folder)
    except ResultsError as error:
        click.echo(f"error: {error}", err=True)
        if error.remedy:
            click.echo(f"  help: {error.remedy}", err=True)
        sys.exit(2)
    write_report(report, format_, sys.stdout)
