"""`kvscen drivers`: which drivers are installed, what can run here and why not; and the settings of one."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import click

from kvscen.cli import complete
from kvscen.cli.loading import fail
from kvscen.plugin.probe import DriverReport, SettingReport, examine, examine_all
from kvscen.plugin.registry import PluginError, Registry, registry

_COLUMNS = ("name", "package", "version", "kind", "summary", "operations", "available", "reason", "remedy")
_SETTING_COLUMNS = ("name", "type", "required", "default", "help")


@click.command("drivers")
@click.argument("name", required=False, shell_complete=complete.drivers)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(name: str | None, form: str) -> None:
    """List the installed drivers: what each is, and whether it can run on this machine.

    With NAME: that driver and its settings. Each driver is asked in a process of its own, so that one
    that hangs or crashes costs nothing but its line.
    """
    installed = registry()
    if name is not None:
        _one(name, installed, form)
        return
    reports = examine_all(installed.names())
    rows = [_row(report) for report in reports]
    if form == "json":
        _dump({"drivers": rows, "problems": [_problem(n, e) for n, e in sorted(installed.problems.items())]})
    elif form == "csv":
        _write_csv(_COLUMNS, (_flat(row) for row in rows))
    else:
        _print_table(rows)
    if form != "json":
        for problem in installed.problems.values():
            click.echo(f"error: {problem}\n  help: {problem.remedy}", err=True)


def _problem(name: str, error: PluginError) -> dict[str, str]:
    return {"name": name, "reason": str(error), "remedy": error.remedy}


def _row(report: DriverReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "package": report.distribution,
        "version": report.version,
        "kind": report.kind,
        "summary": report.summary,
        "operations": list(report.operations),
        "available": report.available.ok and not report.problem,
        "reason": report.problem or report.available.reason,
        "remedy": report.remedy if report.problem else report.available.remedy,
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "operations": " ".join(row["operations"])}


def _one(name: str, installed: Registry, form: str) -> None:
    if name not in installed.refs and name not in installed.problems:
        close = difflib.get_close_matches(name, installed.names(), n=1)
        try:
            installed.driver(name)
        except PluginError as error:
            fail(f"{error}; did you mean `{close[0]}`?" if close else str(error), error.remedy)
    report = examine(name)
    if report.problem:
        fail(report.problem, report.remedy)
    if form == "json":
        settings = [attrs.asdict(setting) for setting in report.settings]
        measures = [dict(zip(("name", "unit", "description"), row, strict=True)) for row in report.measures]
        more = {"memory": list(report.memory), "max_processes": report.max_processes, "ranks": report.ranks}
        facts = dict(report.available.facts)
        _dump({**_row(report), **more, "facts": facts, "settings": settings, "measures": measures})
    elif form == "csv":
        _write_csv(_SETTING_COLUMNS, (attrs.asdict(setting) for setting in report.settings))
    else:
        _print_one(report)


def _dump(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _write_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: str(value).lower() if isinstance(value, bool) else value for key, value in row.items()})


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("driver", "package", "what it is", "here"):
        table.add_column(heading, no_wrap=heading in ("driver", "here"))
    for row in rows:
        package = f"{row['package']} {row['version']}"
        here = Text("yes", "green") if row["available"] else Text("no", "yellow")
        table.add_row(Text(row["name"]), Text(package), Text(row["summary"]), here)
    Console(soft_wrap=False).print(table)
    for row in rows:
        if not row["available"]:
            click.echo(f"\n{row['name']} cannot be used here: {row['reason']}")
            if row["remedy"]:
                click.echo(f"  help: {row['remedy']}")


def _print_one(report: DriverReport) -> None:
    click.echo(f"{report.name}: {report.summary}")
    click.echo(f"from the package {report.distribution} {report.version}")
    click.echo(f"operations: {', '.join(report.operations)}; buffers in: {', '.join(report.memory)}")
    if report.ranks:
        click.echo("patterns: transfer, and matrix: its workers can be ranks that write to each other's memory")
    if report.max_processes is not None:
        click.echo(f"client processes: at most {report.max_processes}")
    if report.available.ok:
        click.echo("It can be used here.")
    else:
        click.echo(f"It cannot be used here: {report.available.reason}")
        if report.available.remedy:
            click.echo(f"  help: {report.available.remedy}")
    for fact, value in report.available.facts.items():
        click.echo(f"  {fact}: {value}")
    click.echo("\nSettings:" if report.settings else "\nIt has no settings.")
    for setting in report.settings:
        click.echo(f"\n  {setting.name}{_default(setting)}\n      {setting.help}\n      {setting.type}")
    if report.measures:
        click.echo("\nColumns that it adds to trials.parquet:")
        for column, unit, description in report.measures:
            click.echo(f"  {column} [{unit}]: {description}")


def _default(setting: SettingReport) -> str:
    if setting.required:
        return " (required)"
    return "" if setting.default is None else f" = {setting.default}"
