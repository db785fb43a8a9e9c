"""`kvscen run`: a scenario's text to tables."""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail, load_plan, scenario_arguments

if TYPE_CHECKING:
    from kvscen.execute.conductor import Conductor
    from kvscen.plan.point import Plan
    from kvscen.report import Format
    from kvscen.results.record import TrialRecord


@click.command()
@scenario_arguments
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run's folder. Default: runs/<scenario>-<UTC time>/.",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on in the folder of an interrupted run."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print the measured points.",
)
def command(
    scenario: Path, pins: tuple[str, ...], sweeps: tuple[str, ...], out: Path | None, resume: Path | None, form: Format
) -> None:
    """Run SCENARIO and write its tables.

    \b
    The exit code is 0 when all is measured (skipped and unavailable points included), 1 when an
    expectation failed, 2 when the scenario or the command is wrong, 3 when a point ended as hang,
    error, corrupt or incomplete, 130 when interrupted.
    """
    from kvscen.results.errors import ResultsError

    if out is not None and resume is not None:
        fail("--out and --resume exclude each other", "--resume DIR goes on in DIR, --out DIR begins there")
    plan = load_plan(scenario, pins, sweeps)
    try:
        sys.exit(_run(plan, out, resume, form))
    except ResultsError as error:
        fail(str(error), error.remedy, code=3)


def _run(plan: Plan, out: Path | None, resume: Path | None, form: Format) -> int:
    from kvscen.cli.arrow import light_arrow

    light_arrow()
    from kvscen.plan.needs import paths_of
    from kvscen.plan.render import plan_json
    from kvscen.report import load_report, write_report
    from kvscen.results import environment, folder
    from kvscen.results.errors import ResultsError
    from kvscen.results.journal import Journal, read_journals
    from kvscen.results.judge import exit_code, judge
    from kvscen.results.searches import searched
    from kvscen.results.tables import write_tables

    now = datetime.now(UTC)
    facts = environment.capture(paths_of(plan))
    try:
        if resume is None:
            place = folder.create_run_folder(out, plan.scenario, now)
            run_id = folder.new_run_id(plan.scenario, now)
            folder.write_inputs(place, plan, plan_json(plan), facts, run_id)
            earlier: list[TrialRecord] = []
        else:
            run = folder.open_run_folder(resume)
            folder.check_same_plan(run, plan_json(plan))
            place, run_id = run.path, run.run_id
            earlier = read_journals(place)
            folder.write_environment(place, facts, run_id)
        journal = Journal.create(place)
    except ResultsError as error:
        # Nothing has run yet: the command is what is wrong.
        fail(str(error), error.remedy)
    with journal:
        interrupted = _conduct(plan, place, journal, earlier)
    records = read_journals(place)
    found = searched(plan, records)
    verdicts = judge(plan, records)
    write_tables(place, plan, records, run_id, verdicts, found)
    write_report(load_report(place), form, sys.stdout)
    if form != "table":
        click.echo(f"the run is in {place}", err=True)
    if interrupted:
        click.echo(f"interrupted; the same command with --resume {place} goes on", err=True)
    return exit_code(records, verdicts, interrupted)


def _conduct(plan: Plan, place: Path, journal: object, earlier: Sequence[TrialRecord]) -> bool:
    """Run what is not ok among the `earlier` trials. True when a signal ended it."""
    import trio
    from rich.console import Console

    from kvscen.execute.channel import Channel, ProcessChannel
    from kvscen.execute.conductor import Conductor
    from kvscen.plugin.registry import registry
    from kvscen.report.progress import RunProgress
    from kvscen.results.journal import Journal

    assert isinstance(journal, Journal)
    # Content that was never written before, by a run that is resumed neither: a write that is lost must not be taken
    # for one that arrived.
    content_seed = secrets.randbits(62)

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> bool:
        done = {(record.point_id, record.trial) for record in earlier if record.status == "ok"}
        with RunProgress(plan, done, Console(stderr=True)) as progress:
            conductor = Conductor(plan, registry(), place, content_seed, journal.append, start, progress)
            return await _until_signal(conductor, earlier)

    return bool(trio.run(main))


async def _until_signal(conductor: Conductor, earlier: Sequence[TrialRecord]) -> bool:
    import trio

    interrupted = False
    failure: Exception | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal interrupted
                async for _ in signals:
                    interrupted = True
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                await conductor.run(earlier)
            except Exception as error:
                # Raised below: out of the nursery it would arrive as a group of one.
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return interrupted
