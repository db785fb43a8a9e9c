"""`kvscen new [NAME]`: a first scenario, from three questions or from flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from kvscen.cli.complete import drivers_of_a_first_scenario, models, questions
from kvscen.cli.loading import fail

_DEFAULT_NAME = "first.kvs"


@click.command()
@click.argument("name", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--about",
    metavar="QUESTION",
    shell_complete=questions,
    help="blocks, model, compare, cache or network.  [default: blocks]",
)
@click.option(
    "--model", metavar="MODEL", shell_complete=models, help="A model of the catalogue, or none: plain blocks."
)
@click.option(
    "--tier",
    "drivers",
    multiple=True,
    metavar="DRIVER",
    shell_complete=drivers_of_a_first_scenario,
    help="The driver of the tier, such as posix; given twice to compare two.  [default: posix; network: memkv]",
)
@click.option(
    "--path", "paths", multiple=True, metavar="DIR", help="The folder of a tier that has one.  [default: ./kv-data]"
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="ADDRESS",
    help="The address of a store.  [default: a private one]",
)
@click.option(
    "--trace", metavar="FILE", help="With --about cache: replay these requests instead of users who converse."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(
    name: Path | None,
    about: str | None,
    model: str | None,
    drivers: Sequence[str],
    paths: Sequence[str],
    endpoints: Sequence[str],
    trace: str | None,
    force: bool,
) -> None:
    """Write a first scenario, NAME.kvs or first.kvs: commented, correct, and done in less than a minute.

    \b
    blocks    how fast is a tier, by the size of a block?
    model     how fast is the KV of a model stored and loaded?
    compare   which of two tiers is faster?
    cache     what does a cache find, and how fast is it? With users who converse, or --trace FILE
    network   how fast is a key-value store behind the network?

    In a terminal what is not said is asked; elsewhere it is the default.
    """
    from kvscen.starter import ChoiceError, chosen, scenario_text

    file = name or Path(_DEFAULT_NAME)
    if file.suffix != ".kvs":
        file = file.with_name(f"{file.name}.kvs")
    if not force and (file.exists() or file.is_symlink()):
        fail(f"{file} is there already", "name another file, or write over it with --force")
    if trace is not None and not _beside(file, trace).is_file():
        fail(f"--trace {trace}: there is no such file", f"name it from the scenario's folder, {file.parent}")
    try:
        if _asks():
            about, model, drivers, paths, endpoints = _questions(about, model, drivers, paths, endpoints, trace)
        choice = chosen(about or ("cache" if trace else "blocks"), model, drivers, paths, endpoints, trace)
        text = scenario_text(choice, str(file))
    except ChoiceError as error:
        fail(str(error), error.remedy)
    _write(file, text, force)
    click.echo(f"wrote {file}: kvscen run {file}")


def _beside(file: Path, trace: str) -> Path:
    return file.parent / trace


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _questions(
    about: str | None,
    model: str | None,
    drivers: Sequence[str],
    paths: Sequence[str],
    endpoints: Sequence[str],
    trace: str | None,
) -> tuple[str, str | None, Sequence[str], Sequence[str], Sequence[str]]:
    """Ask for what was not said."""
    from kvscen.starter import ABOUTS, TIERS
    from kvscen.starter.choices import DEFAULT_PATH, chosen, default_model, drivers_for

    if about is None and trace is not None:
        about = "cache"
    if about is None:
        click.echo("What do you want to know?")
        for word, question in ABOUTS.items():
            click.echo(f"  {word:<9} {question}")
        about = click.prompt("about", type=click.Choice(list(ABOUTS)), default="blocks", show_choices=False)
    if model is None:
        usual = default_model(about, trace) or "none"
        plain = "" if about == "model" else ", or none for plain blocks"
        click.echo(f"Which model? A name of the catalogue (kvscen explain models){plain}.")
        model = click.prompt("model", default=usual)
        chosen(about, model, trace=trace)  # what is wrong with it is said before the next question
    if not drivers:
        known = drivers_for(about)
        many = 2 if about == "compare" else 1
        click.echo("Which tier?" if many == 1 else "Which two tiers?")
        for word in known:
            click.echo(f"  {word:<9} {TIERS[word].about}")
        drivers = []
        for number in range(many):
            label = "tier" if many == 1 else ("first", "second")[number]
            drivers.append(click.prompt(label, type=click.Choice(known), default=known[number], show_choices=False))
    if not paths:
        paths = [click.prompt("its folder", default=DEFAULT_PATH) for each in drivers if TIERS[each].place]
    if not endpoints:
        asked = (
            click.prompt("its address, empty for a private one", default="", show_default=False)
            for each in drivers
            if TIERS[each].address
        )
        endpoints = [address for address in asked if address]
    return about, model, drivers, paths, endpoints


def _write(file: Path, text: str, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        fail(f"{file} is there already", "name another file, or write over it with --force")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}", "name another file")
