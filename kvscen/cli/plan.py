"""`kvscen plan`: what a run would do. It runs nothing, and looks at the machine only with `--here`."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail, load_plan, scenario_arguments

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kvscen.doctor.here import Here
    from kvscen.plan.cost import PlanCost
    from kvscen.plan.point import Plan

#: Columns of a table that goes into a pipe or a file.
_WIDE = 200
#: The exit code where a plan cannot be run on this machine.
NOT_HERE = 1


@click.command()
@scenario_arguments
@click.option(
    "--here",
    "on_this_machine",
    is_flag=True,
    help="Also look at this machine: space, direct I/O, what the drivers say, the device's endurance.",
)
@click.option(
    "--endurance",
    "ratings",
    multiple=True,
    metavar="[TIER=]SIZE",
    help="With --here: what the data sheet says that may be written to the device, such as 600TB or disk=1.3PB.",
)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(
    scenario: Path,
    pins: tuple[str, ...],
    sweeps: tuple[str, ...],
    on_this_machine: bool,
    ratings: tuple[str, ...],
    form: str,
) -> None:
    """Show what running SCENARIO would do: points, skipped ones with the reason, bytes, disk space and time.

    \b
    Nothing is run, and without --here nothing on this machine is looked at. The exit code is 0, with
    --here 1 when the plan cannot be run on this machine, and 2 when the scenario or the command is
    wrong.
    """
    from kvscen.plan.cost import plan_cost
    from kvscen.plan.render import plan_table, priced_json, rows
    from kvscen.plugin.registry import registry

    if ratings and not on_this_machine:
        raise click.UsageError("--endurance is about this machine's device: add --here")
    if on_this_machine and form == "csv":
        raise click.UsageError("--here has no rows: use --format table or json")
    plan = load_plan(scenario, pins, sweeps)
    cost = plan_cost(plan, registry())
    here = _look(plan, cost, ratings) if on_this_machine else None
    if form == "json":
        shown = priced_json(plan, cost)
        if here is not None:
            from kvscen.doctor.here import here_json

            shown["here"] = here_json(here)
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif form == "csv":
        found = list(rows(plan, cost))
        writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    else:
        show(plan_table(plan, cost))
        if here is not None:
            from kvscen.doctor.here import here_lines

            click.echo("\n" + "".join(line + "\n" for line in here_lines(here)), nl=False)
    if here is not None and not here.possible:
        sys.exit(NOT_HERE)


def _look(plan: Plan, cost: PlanCost, ratings: tuple[str, ...]) -> Here:
    from kvscen.doctor.here import here
    from kvscen.facts.gather import gather
    from kvscen.plan.needs import needs
    from kvscen.plugin.registry import registry

    needed = needs([plan], registry())
    tiers = {name for need in needed.paths for name in need.tiers}
    endurance = {}
    for rating in ratings:
        name, equals, text = rating.rpartition("=")
        if equals and name not in tiers:
            fail(
                f"--endurance {rating}: no tier with a folder is called `{name}`",
                f"the plan has {', '.join(sorted(tiers)) or 'none'}",
            )
        endurance[name] = _bytes(rating, text)
    paths = [need.path for need in needed.paths]
    return here(gather(paths, counted=paths), needed, cost.writes, endurance)


def _bytes(rating: str, text: str) -> int:
    """`600TB`, `600 TBW` or `1.3 PB` in bytes: data sheets count in powers of 1000 and often write TBW."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGTP]i?B)W?\s*", text)
    if not found or not float(found[1]):
        fail(f"--endurance {rating}: `{text}` is no size", "write it as the data sheet does, such as 600TB or 1.3PB")
    power = "kMGTP".index(found[2][0]) + 1
    return int(Fraction(found[1]) * (1024 if "i" in found[2] else 1000) ** power)


def show(table: RenderableType) -> None:
    """Print for the terminal, or for a pipe: wide, without colours and blanks at the ends of lines."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    out = io.StringIO()
    Console(file=out, width=_WIDE, highlight=False, color_system=None).print(table)
    click.echo("".join(line.rstrip() + "\n" for line in out.getvalue().splitlines()), nl=False)
