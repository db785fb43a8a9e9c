"""`kvscen plan`: what a run would do. It runs nothing and looks at nothing on the machine."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import load_plan, scenario_arguments

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Columns of a table that goes into a pipe or a file.
_WIDE = 200


@click.command()
@scenario_arguments
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(scenario: Path, pins: tuple[str, ...], sweeps: tuple[str, ...], form: str) -> None:
    """Show what running SCENARIO would do: points, skipped ones with the reason, bytes, disk space and time.

    \b
    Nothing is run, and nothing on this machine is looked at. The exit code is 0, or 2 when the
    scenario or the command is wrong.
    """
    from kvscen.plan.cost import plan_cost
    from kvscen.plan.render import plan_table, priced_json, rows
    from kvscen.plugin.registry import registry

    plan = load_plan(scenario, pins, sweeps)
    cost = plan_cost(plan, registry())
    if form == "json":
        click.echo(json.dumps(priced_json(plan, cost), indent=2, ensure_ascii=False))
    elif form == "csv":
        found = list(rows(plan, cost))
        writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    else:
        show(plan_table(plan, cost))


def show(table: RenderableType) -> None:
    """Print for the terminal, or for a pipe: wide, without colours and blanks at the ends of lines."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    out = io.StringIO()
    Console(file=out, width=_WIDE, highlight=False, color_system=None).print(table)
    click.echo("".join(line.rstrip() + "\n" for line in out.getvalue().splitlines()), nl=False)
