"""`kvscen import`: a scenario from the files of another tool. What the drivers can read, they say themselves."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from kvscen.cli.loading import fail


@click.command("import")
@click.argument("name", metavar="TOOL")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead of to stdout.")
def command(name: str, files: tuple[Path, ...], out: Path | None) -> None:
    """Turn the FILES of another TOOL into a scenario.

    \b
    kvscen import kvbench MODEL.yaml CONFIG.yaml    a model and a configuration of NIXL's KVBench
    kvscen import kvbench-traffic CONFIG.yaml       one of KVBench's ct-perftest or sequential-ct-perftest
    kvscen import nixlbench CONFIG.toml             a configuration file of nixlbench

    What cannot be translated is a comment in the scenario and a line on stderr. An --out that is there is
    not written over.
    """
    from kvscen.plugin.contract import DriverError
    from kvscen.plugin.exchange import Importer
    from kvscen.plugin.registry import PluginError, registry

    found: dict[str, Importer] = {}
    for driver in registry().names():
        try:
            found |= {importer.name: importer for importer in registry().driver(driver).importers}
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        known = ", ".join(f"{each.name} ({each.summary})" for each in found.values())
        fail(f"nothing imports from `{name}`", f"did you mean `{close[0]}`?" if close else f"there are {known}")
    importer = found[name]
    if len(files) != len(importer.files):
        fail(
            f"`{name}` needs {len(importer.files)} file{'s' * (len(importer.files) > 1)}, not {len(files)}",
            f"write kvscen import {name} {' '.join(importer.files)}",
        )
    try:
        imported = importer.read(files)
    except DriverError as error:
        fail(str(error), error.remedy)
    for sentence in imported.left_out:
        click.echo(f"not translated: {sentence}", err=True)
    if out is None:
        click.echo(imported.text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(imported.text)
    except FileExistsError:
        fail(f"{out} is there already", "name another file, or remove it")
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", "name another file")
