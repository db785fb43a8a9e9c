"""`kvscen export mlperf`: trials as MLPerf Storage's kv-cache.py would write them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvscen.export.mlperf import Chosen


@click.command("mlperf", short_help="The JSON of MLPerf Storage's kv-cache.py.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--point", "points", multiple=True, metavar="ID", help="Only this point. May be given several times.")
@click.option(
    "--trial", type=click.IntRange(1), metavar="N", help="Only this trial, of one point: one object, no list."
)
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    metavar="LEVEL=gpu|cpu|storage",
    help="What a level stands for.  [default: by its driver: memory is cpu, gpu is gpu, others are storage]",
)
@click.option(
    "--output", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead of to stdout."
)
@click.option("--explain", is_flag=True, help="Say what each field means and where it comes from, of no run.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    help="How to print --explain.  [default: table]",
)
def command(
    run: Path | None,
    points: tuple[str, ...],
    trial: int | None,
    tiers: tuple[str, ...],
    output: Path | None,
    explain: bool,
    form: str | None,
) -> None:
    """Write the trials of RUN as MLPerf Storage's kv-cache.py would, with its names, units and definitions.

    \b
    RUN       a folder that `kvscen run` made; without it the newest one in ./runs
    stdout    a list of objects, one for each trial that is ok of each point whose requests are known
              before (conversations, replay); with --trial one object alone, as kv-cache.py writes it

    Every field of kv-cache.py is there. It is null where nothing of kvscen answers it or too little was measured.
    Under `kvscen` stands what the object is of, and what stands for gpu, cpu and storage. Trials that did not end as
    ok are left out, with a line on stderr. A file that is there is not written over.
    """
    if explain:
        if run is not None or points or trial is not None or tiers or output is not None:
            raise click.UsageError("--explain is about the fields, whatever the run: it goes with --format alone")
        _explain(form or "table")
        return
    if form is not None:
        raise click.UsageError("--format is of --explain: a run is exported as JSON")
    if output is not None and (output.exists() or output.is_symlink()):
        fail(f"{output} is there already", "name another file with --output, or remove it")
    _write(_exported(run, points, trial, tiers), output)


def _exported(run: Path | None, points: Sequence[str], trial: int | None, tiers: Sequence[str]) -> object:
    from kvscen.cli.arrow import light_arrow
    from kvscen.export.mlperf import choose, document
    from kvscen.results.errors import ResultsError
    from kvscen.results.folder import newest_run

    light_arrow()
    try:
        chosen = choose(run if run is not None else newest_run(), points, trial)
    except ResultsError as error:
        fail(str(error), error.remedy)
    said = _said(chosen, tiers)
    for sentence in (*chosen.report.notes, *chosen.left_out):
        click.echo(f"note: {sentence}", err=True)
    documents = [document(chosen, point, row, said) for point, row in chosen.trials]
    return documents if trial is None else documents[0]


def _said(chosen: Chosen, tiers: Sequence[str]) -> Mapping[str, str]:
    """What levels stand for, by name, from `LEVEL=KIND`."""
    from kvscen.export.mlperf import TIERS, levels_of
    from kvscen.language.suggest import did_you_mean

    levels = levels_of(chosen)
    said: dict[str, str] = {}
    for text in tiers:
        level, _, kind = text.partition("=")
        if level not in levels:
            listed = f"its levels are {', '.join(levels)}; write {levels[0] if levels else 'LEVEL'}=gpu, cpu or storage"
            fail(f"--tier {text}: no level of this run is called `{level}`", did_you_mean(level, levels, listed))
        if kind not in TIERS:
            fail(f"--tier {text}: a level stands for {', '.join(TIERS)}", f"write --tier {level}=gpu")
        if said.setdefault(level, kind) != kind:
            fail(f"--tier {text}: `{level}` stands for {said[level]} already", "name each level once")
    return said


def _write(exported: object, output: Path | None) -> None:
    text = json.dumps(exported, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(f"{output} is there already", "name another file with --output, or remove it")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", "name another file")


def _explain(form: str) -> None:
    from kvscen.export.mlperf import explain_rows, explain_text

    if form == "json":
        click.echo(json.dumps(explain_rows(), indent=2, ensure_ascii=False))
    elif form == "csv":
        from kvscen.report.write import write_rows

        write_rows(explain_rows(), sys.stdout)
    else:
        click.echo(explain_text(), nl=False)
