"""`kvscen doctor`: what on this machine would spoil a measurement, and what to do about it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli import complete
from kvscen.cli.loading import load_plan

if TYPE_CHECKING:
    from kvscen.plan.point import Plan

#: The exit code where nothing can be measured as it is.
PREVENTED = 1


@click.command("doctor")
@click.argument("what", nargs=-1, metavar="[PATH|SCENARIO]...", shell_complete=complete.scenarios)
@click.option(
    "--set",
    "pins",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete.pins,
    help="Of the scenarios: fix a setting, an axis or a `let`.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.sweeps,
    help="Of the scenarios: only this sweep.",
)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(what: tuple[str, ...], pins: tuple[str, ...], sweeps: tuple[str, ...], form: str) -> None:
    """Find what on this machine would spoil a measurement, with the reason and the remedy.

    \b
    PATH      a folder to measure in; it need not exist yet
    SCENARIO  a file that ends in .kvs: the folders of its tiers, what it needs, what its drivers say
    Without either: the working directory.

    It runs for about a second, changes nothing, and needs no special rights. The exit code is 0, 1 when
    something makes measuring impossible, and 2 when a scenario or the command is wrong.
    """
    from kvscen.doctor.examine import diagnose
    from kvscen.doctor.render import diagnosis_csv, diagnosis_object, diagnosis_text
    from kvscen.facts.gather import gather
    from kvscen.plan.needs import needs
    from kvscen.plugin.registry import registry

    scenarios = [word for word in what if word.endswith(".kvs")]
    paths = [word for word in what if not word.endswith(".kvs")]
    if (pins or sweeps) and not scenarios:
        raise click.UsageError("--set and --sweep are about a scenario, and none is named")
    plans: list[Plan] = [load_plan(Path(scenario), pins, sweeps) for scenario in scenarios]
    needed = needs(plans, registry())
    counted = [need.path for need in needed.paths]
    found = diagnose(gather([*paths, *counted] or ([] if scenarios else ["."]), counted=counted), needed)
    if form == "json":
        click.echo(json.dumps(diagnosis_object(found), indent=2, ensure_ascii=False))
    elif form == "csv":
        click.echo(diagnosis_csv(found), nl=False)
    else:
        click.echo(diagnosis_text(found), nl=False)
    sys.exit(PREVENTED if found.prevented else 0)
