"""`kvscen import`: from the files of others. Traces the core reads; the files of a tool its driver does."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvscen.cli.loading import fail

if TYPE_CHECKING:
    from kvscen.plugin.exchange import Importer


class _Imports(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["trace", *_importers()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "trace":
            from kvscen.cli.import_trace import command as trace

            return trace
        found = _importers()
        if name not in found:
            close = difflib.get_close_matches(name, ["trace", *found], n=1)
            known = [
                "trace (a trace of requests)",
                *(f"{each.name} ({each.summary})" for each in found.values()),
            ]
            fail(
                f"nothing imports from `{name}`",
                f"did you mean `{close[0]}`?" if close else f"there are {', '.join(known)}",
            )
        return _command(found[name])


def _importers() -> dict[str, Importer]:
    """What the drivers can read."""
    from kvscen.plugin.registry import PluginError, registry

    found: dict[str, Importer] = {}
    for driver in registry().names():
        try:
            found |= {importer.name: importer for importer in registry().driver(driver).importers}
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
    return found


def _command(importer: Importer) -> click.Command:
    @click.command(importer.name, help=f"Turn {importer.summary} into a scenario.")
    @click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar=" ".join(importer.files))
    @click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead of to stdout.")
    def command(files: tuple[Path, ...], out: Path | None) -> None:
        _scenario(importer, files, out)

    return command


def _scenario(importer: Importer, files: tuple[Path, ...], out: Path | None) -> None:
    from kvscen.plugin.contract import DriverError

    if len(files) != len(importer.files):
        fail(
            f"`{importer.name}` needs {len(importer.files)} file{'s' * (len(importer.files) > 1)}, not {len(files)}",
            f"write kvscen import {importer.name} {' '.join(importer.files)}",
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


@click.command("import", cls=_Imports, subcommand_metavar="WHAT FILE...", no_args_is_help=True)
def command(**_: Any) -> None:
    """Read the files of others.

    \b
    kvscen import trace FILE                        a trace of requests, into Parquet
    kvscen import kvbench MODEL.yaml CONFIG.yaml    a model and a configuration of KVBench, into a scenario
    kvscen import kvbench-traffic CONFIG.yaml       one of KVBench's ct-perftest or sequential-ct-perftest, likewise
    kvscen import nixlbench CONFIG.toml             a configuration file of nixlbench, likewise

    What cannot be translated into a scenario is a comment in it and a line on stderr. An --out that is there
    is not written over.
    """
