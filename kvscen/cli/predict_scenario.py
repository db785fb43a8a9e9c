"""The half of `kvscen predict` that is about a scenario: its points, or the whole curve of a pattern's requests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvscen.cli.loading import fail, load_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvscen.plan.point import Plan, Point
    from kvscen.predict import Capacity, Prediction
    from kvscen.predict.block import BlockSize
    from kvscen.predict.forecast import Forecast

#: A point that did not end well.
POINT_FAILED = 3


def predict_points(
    scenario: Path,
    pins: Sequence[str],
    sweeps: Sequence[str],
    form: str,
    chart: Path | None,
    by: str | None,
    text_chart: bool | None,
) -> int:
    """Print what each point would give. Returns the exit code."""
    from kvscen.plugin.registry import registry
    from kvscen.predict.forecast import forecast, to_forecast
    from kvscen.report.forecast_png import axis_of

    plan = load_plan(scenario, pins, sweeps)
    points = to_forecast(plan)
    left_out = len(plan.points) - len(points)
    if left_out:
        what = "1 point has" if left_out == 1 else f"{left_out} points have"
        click.echo(f"{what} no requests that look blocks up, and nothing is predicted for them", err=True)
    path = None if chart is None else axis_of(points, by)
    with _counting(points) as tick:
        found = [tick(one) for one in forecast(points, registry())]
    _print(plan, found, form, text_chart)
    if chart is not None and path is not None:
        _draw(plan, found, path, chart)
    return 0 if all(one.status == "ok" for one in found) else POINT_FAILED


@contextmanager
def _counting(points: Sequence[Point]) -> Iterator[Callable[[Forecast], Forecast]]:
    """A bar on stderr over the points; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("predicting"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(points))

        def tick(one: Forecast) -> Forecast:
            bar.advance(task)
            return one

        yield tick


def _print(plan: Plan, found: Sequence[Forecast], form: str, text_chart: bool | None) -> None:
    from kvscen.report.forecast import forecast_json, forecast_rows, forecast_table
    from kvscen.report.write import write_rows, write_table

    if form == "json":
        click.echo(json.dumps(forecast_json(plan.scenario, found), indent=2, ensure_ascii=False))
    elif form == "csv":
        write_rows(list(forecast_rows(found)), sys.stdout)
    else:
        drawn = sys.stdout.isatty() if text_chart is None else text_chart
        write_table(lambda width: forecast_table(plan.scenario, found, width, drawn), sys.stdout)


def _draw(plan: Plan, found: Sequence[Forecast], path: str, chart: Path) -> None:
    from kvscen.report.forecast_png import write_forecast_png
    from kvscen.results.errors import why

    if not any(one.status == "ok" for one in found):
        fail(f"there is nothing to draw into {chart}: no point ended well")
    try:
        write_forecast_png(plan.scenario, found, path, chart)
    except OSError as error:
        fail(f"cannot write {chart}: {why(error)}", "name another file")


def predict_pattern(
    scenario: Path, pins: Sequence[str], sweeps: Sequence[str], name: str, policy: str, asked: Sequence[Capacity]
) -> tuple[Prediction, BlockSize]:
    """The curve of the requests of a pattern. Raises PredictionError and DriverError."""
    from kvscen.execute.planned import planned_requests
    from kvscen.predict import PredictionError, predict_requests
    from kvscen.predict.block import BlockSize
    from kvscen.trace.canonical import About
    from kvscen.trace.requests import LOAD

    point = _point_of(load_plan(scenario, pins, sweeps), name)
    replay, block = point.work.replay, point.work.block_bytes
    assert replay is not None
    requests = planned_requests(replay)
    if not requests.known_blocks:
        raise PredictionError(
            f"the trace of `{name}` does not say which blocks its requests share, so nobody knows what a cache would "
            "find in it",
            "take a trace with ids of blocks",
        )
    script = requests.script
    if script is not None and (script.stored or (script.action != LOAD).any()):
        raise PredictionError(
            f"the requests of `{name}` do more than look their prompts up (answers are kept, or blocks are there "
            "before), and a curve knows look-ups alone",
            f"let a capacity vary in a sweep, and predict that: kvscen predict {scenario}",
        )
    about = About(f"the requests of the pattern `{name}`", replay.path, requests.block_tokens)
    found = predict_requests(
        str(scenario), about, requests.keys, requests.offsets, requests.arrival_ns, policy, asked, block
    )
    return found, BlockSize(block)


def _point_of(plan: Plan, name: str) -> Point:
    """A point with this pattern; all that have it are alike in what matters here."""
    from kvscen.language.suggest import did_you_mean, listed

    known = {point.pattern.name: point for point in plan.points if point.work.replay is not None}
    if name not in known:
        there = f"there are {listed(known)}" if known else "a `replay` has such"
        fail(f"no pattern of {plan.scenario} that has requests is called `{name}`", did_you_mean(name, known, there))
    points = [point for point in plan.points if point.pattern.name == name]
    kinds = {(point.work.replay.digest if point.work.replay else "", point.work.block_bytes) for point in points}
    if len(kinds) > 1:
        paths = list(dict.fromkeys(path for point in points for path in point.axes))
        fail(
            f"the points differ in the requests or blocks of `{name}`, and a curve is of one kind",
            f"fix what varies with --set: {listed(paths)}",
        )
    return points[0]
