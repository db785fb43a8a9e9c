"""`kvscen plan`: what a run would do. It runs nothing, and looks at the machine only with `--here`."""

from __future__ import annotations

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
@click.option(
    "--as",
    "program",
    metavar="NAME",
    help="Print command lines of another program for the points instead, such as nixlbench.",
)
@click.option("--verbatim", is_flag=True, help="With --as nixlbench: as KVBench prints them, its mistakes marked.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "text", "json", "csv"]),
    help="[default: table; with --as: text]",
)
def command(
    scenario: Path,
    pins: tuple[str, ...],
    sweeps: tuple[str, ...],
    on_this_machine: bool,
    ratings: tuple[str, ...],
    program: str | None,
    verbatim: bool,
    form: str | None,
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

    if program is not None:
        if on_this_machine or form == "table":
            raise click.UsageError("--as prints command lines: it goes with --format text, json or csv alone")
        _spell(load_plan(scenario, pins, sweeps), program, verbatim, form or "text")
        return
    if verbatim or form == "text":
        raise click.UsageError(f"{'--verbatim' if verbatim else '--format text'} is of --as: add --as nixlbench")
    if ratings and not on_this_machine:
        raise click.UsageError("--endurance is about this machine's device: add --here")
    if on_this_machine and form == "csv":
        raise click.UsageError("--here has no rows: use --format table or json")
    # Rows and what is asked of this machine are about each point; a table may show the first ones of very many.
    plan = load_plan(scenario, pins, sweeps, whole=on_this_machine or form in ("json", "csv"))
    cost = plan_cost(plan, registry())
    here = _look(plan, cost, ratings) if on_this_machine else None
    if form == "json":
        shown = priced_json(plan, cost)
        if here is not None:
            from kvscen.doctor.here import here_json

            shown["here"] = here_json(here)
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif form == "csv":
        from kvscen.report.write import write_rows

        write_rows(list(rows(plan, cost)), sys.stdout)
    else:
        show(plan_table(plan, cost))
        if here is not None:
            from kvscen.doctor.here import here_lines

            click.echo("\n" + "".join(line + "\n" for line in here_lines(here)), nl=False)
    if here is not None and not here.possible:
        sys.exit(NOT_HERE)


def _spell(plan: Plan, program: str, verbatim: bool, form: str) -> None:
    """Print the command lines that a driver has for the points of the plan."""
    from kvscen.plan.spell import as_json, as_rows, as_text
    from kvscen.plugin.contract import DriverError, Tool
    from kvscen.plugin.registry import PluginError, registry

    try:
        driver = registry().driver(program)
        if not isinstance(driver, Tool):
            fail(f"--as {program}: the driver `{program}` runs no program", "use --as nixlbench")
        lines = driver.command_lines(plan.points, verbatim)
    except (PluginError, DriverError) as error:
        fail(f"--as {program}: {error}", error.remedy)
    if form == "json":
        click.echo(json.dumps(as_json(program, lines), indent=2, ensure_ascii=False))
    elif form == "csv":
        from kvscen.report.write import write_rows

        write_rows(list(as_rows(lines)), sys.stdout)
    else:
        click.echo("".join(f"{line}\n" for line in as_text(lines)), nl=False)


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
