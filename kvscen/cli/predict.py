"""`kvscen predict`: without moving a byte, what a cache of each capacity would hit in a trace, and what the points of a
scenario would give."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kvscen.cache import POLICIES
from kvscen.cli.complete import models, scenarios_and_traces
from kvscen.cli.loading import fail, refuse
from kvscen.cli.reading import reading
from kvscen.language.published import catalogue_name
from kvscen.language.values import UNITS

if TYPE_CHECKING:
    from kvscen.predict import Prediction
    from kvscen.predict.block import BlockSize
    from kvscen.trace import Trace

_CAPACITY_HELP = (
    "Blocks (20000), a share of the unique blocks (10%), bytes (512 GiB), or none: no limit. May be given several "
    "times.  [default: 1 to 100%, and none]"
)


@click.command("predict")
@click.argument(
    "file", metavar="TRACE|SCENARIO.kvs", type=click.Path(path_type=Path), shell_complete=scenarios_and_traces
)
@click.argument("sweeps", metavar="[SWEEP]...", nargs=-1)
@click.option(
    "--set", "pins", multiple=True, metavar="PATH=VALUE", help="Of a scenario: fix a setting, as for kvscen run."
)
@click.option("--curve", metavar="PATTERN", help="Of a scenario: the whole curve of the requests of this pattern.")
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=models,
    help="A model of the catalogue, such as llama3_1_70b: how large a block is.",
)
@click.option("--kv-dtype", metavar="FORMAT", help="Of the model: format of the KV, such as fp8.")
@click.option("--tp", metavar="RANKS", help="Of the model: ranks that share each layer.  [default: 1]")
@click.option("--pp", metavar="STAGES", help="Of the model: pipeline stages.  [default: 1]")
@click.option("--block-bytes", metavar="SIZE", help="Instead of a model: how large a block is, as in 2.5 MiB.")
@click.option("--policy", type=click.Choice(list(POLICIES)), help="[default: lru]")
@click.option("--capacity", "capacities", multiple=True, metavar="CAPACITY", help=_CAPACITY_HELP)
@click.option("--sample", metavar="RATE", help="Look at this share of the blocks only: 1%, 1/64. Bounded memory.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--chart", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw it into a PNG.")
@click.option("--by", metavar="AXIS", help="Of a scenario: the axis that --chart draws against.  [default: the first]")
@click.option("--text-chart/--no-text-chart", default=None, help="Draw it in characters.  [default: in a terminal]")
@click.option("--trace-format", metavar="FORMAT", help="Format of the trace, where its content does not tell it.")
@click.option(
    "--block-tokens", type=click.IntRange(1, 1 << 20), metavar="TOKENS", help="As of kvscen import trace: of a block."
)
@click.option("--sort", is_flag=True, help="As of kvscen import trace: sort requests by time.")
def command(
    file: Path,
    sweeps: tuple[str, ...],
    pins: tuple[str, ...],
    curve: str | None,
    by: str | None,
    model: str | None,
    block_bytes: str | None,
    policy: str | None,
    capacities: tuple[str, ...],
    sample: str | None,
    form: str,
    chart: Path | None,
    text_chart: bool | None,
    trace_format: str | None,
    block_tokens: int | None,
    sort: bool,
    **settings: str | None,
) -> None:
    """Predict what caches would hit, without moving a byte.

    \b
    TRACE         what a cache of each capacity would hit. Any trace with block ids that kvscen import trace
                  reads, or the Parquet file that it made. The policies lru and lru_tail_first have the whole
                  curve in one pass; with another, name capacities
    SCENARIO.kvs  what each point of its sweeps would give whose pattern has requests: what is found and
                  where, and on simulated tiers how long it takes, up to the first token

    The exit code is 0, 2 when the trace, the scenario or the command is wrong, or 3 when a point could not be
    predicted.
    """
    from kvscen.cli.arrow import light_arrow
    from kvscen.plugin.contract import DriverError
    from kvscen.predict import PredictionError, parse_bytes, parse_capacity, predict
    from kvscen.trace import TraceError, open_trace

    light_arrow()
    of_scenario = file.suffix == ".kvs"
    if of_scenario:
        of_trace: dict[str, object] = {
            "model": model,
            "block-bytes": block_bytes,
            "sample": sample,
            "trace-format": trace_format,
        }
        of_trace |= {"block-tokens": block_tokens, "sort": sort or None}
        of_trace |= {name.replace("_", "-"): value for name, value in settings.items()}
        of_curve: dict[str, object] = {"policy": policy, "capacity": capacities or None}
        _refuse_of_trace(of_trace if curve is not None else of_trace | of_curve)
        if by is not None and (curve is not None or chart is None):
            raise click.UsageError(
                "--by says against what --chart draws the points of a scenario, and goes with it alone"
            )
    elif sweeps or pins or curve is not None or by is not None:
        if sweeps and sweeps[0] in UNITS:
            raise click.UsageError(
                f'`{sweeps[0]}` stands alone: write a value and its unit as one word, 10%, or in quotes, "512 GiB"'
            )
        option = "SWEEP" if sweeps else "--set" if pins else "--curve" if curve is not None else "--by"
        raise click.UsageError(f"{option} is about a scenario, and `{file}` does not end in .kvs")
    _check_model(model, block_bytes, settings)
    if chart is not None:
        _check_chart(chart)
    try:
        if of_scenario and curve is None:
            from kvscen.cli.predict_scenario import predict_points

            sys.exit(predict_points(file, pins, sweeps, form, chart, by, text_chart))
        given = [parse_capacity(text) for text in capacities]
        block: BlockSize | None
        if curve is not None:
            from kvscen.cli.predict_scenario import predict_pattern

            found, block = predict_pattern(file, pins, sweeps, curve, policy or "lru", given)
        else:
            outright = None if block_bytes is None else parse_bytes(block_bytes)
            halvings = None if sample is None else _halvings(sample)
            with reading(file) as progress:
                trace = open_trace(file, trace_format, block_tokens=block_tokens, sort=sort, progress=progress)
                block = _block(trace, model, [f"{name}={value}" for name, value in settings.items() if value], outright)
                total = None if block is None else block.total_bytes
                found = predict(trace, policy or "lru", given, total, halvings)
        # First what was asked for: a PNG that cannot be written must not cost it.
        _print(found, block, form, text_chart)
        if chart is not None:
            _draw(found, block, chart)
    except DriverError as error:
        fail(str(error), error.remedy)
    except TraceError as error:
        # There the output has no format of its own, so the trace's is called --format.
        fail(str(error), error.remedy.replace("--format", "--trace-format"))
    except PredictionError as error:
        fail(str(error), error.remedy)
    except MemoryError:
        fail(f"{file} does not fit in memory", "look at a share of its blocks: --sample 1%")


def _refuse_of_trace(options: Mapping[str, object]) -> None:
    """A scenario says by itself what these would say of a trace."""
    instead = {
        "policy": "--set CACHE.eviction=...",
        "capacity": "--set TIER.capacity=...",
        "block-bytes": "--set PATTERN.block=...",
        "block-tokens": "--set PATTERN.page=...",
        "model": "--set PATTERN.model=...",
        **{name: f"--set MODEL.{name.replace('-', '_')}=..." for name in ("kv-dtype", "tp", "pp")},
    }
    given = next((name for name, value in options.items() if value is not None), None)
    if given is not None:
        remedy = f"; of a scenario fix a path: {instead[given]}" if given in instead else ""
        raise click.UsageError(f"--{given} is about a trace{remedy}")


def _check_model(model: str | None, block_bytes: str | None, settings: dict[str, str | None]) -> None:
    if model is not None and block_bytes is not None:
        raise click.UsageError("--model and --block-bytes both say how large a block is: give one")
    extra = next((name for name, value in settings.items() if value is not None), None)
    if extra is not None and model is None:
        raise click.UsageError(f"--{extra.replace('_', '-')} is about a model, and none is named with --model")
    if model is not None:
        from kvscen.language.define import catalogue_names

        if catalogue_name(model) not in catalogue_names():
            _unknown(model)


def _unknown(model: str) -> NoReturn:
    from kvscen.language.define import catalogue_names
    from kvscen.language.suggest import did_you_mean, listed

    known = catalogue_names()
    there = f"there are {listed(known)} (docs/models.md)"
    fail(f"no model of the catalogue is called `{model}`", did_you_mean(model, known, there))


def _check_chart(chart: Path) -> None:
    from kvscen.report.chart_png import can_draw

    if chart.suffix.lower() != ".png":
        fail(f"the chart is a PNG, and `{chart}` does not end in .png", "name it so")
    if chart.exists() or chart.is_symlink():
        fail(f"{chart} is there already", "name another file with --chart, or remove it")
    if not can_draw():
        fail("a PNG is drawn by matplotlib, which is not installed", "pip install 'kvscen[chart]'")


def _halvings(text: str) -> int:
    """Of a rate from 0 (excluded) to 1 the k for which 1 / 2^k is the next rate below it, or it."""
    from kvscen.predict import PredictionError

    written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:(%)|/\s*(\d+))?\s*", text)
    rate = Fraction(0)
    if written and (written[3] is None or int(written[3])):
        rate = Fraction(written[1]) / (100 if written[2] else int(written[3] or 1))
    if not 0 < rate <= 1:
        raise PredictionError(f"`{text}` is no share of the blocks", "write one above 0 and up to 1: 1%, 0.01 or 1/64")
    halvings = math.ceil(math.log2(1 / rate))
    # 32 halvings leave one of four billion blocks.
    if halvings > 32:
        raise PredictionError(f"a sample of `{text}` of the blocks is none", "take a larger share, such as 1%")
    return halvings


def _block(trace: Trace, model: str | None, pins: Sequence[str], outright: int | None) -> BlockSize | None:
    from kvscen.language.diagnose import ScenarioError
    from kvscen.predict.block import BlockSize, block_of_model

    if outright is not None:
        return BlockSize(outright)
    tokens = trace.about.block_tokens
    if model is None or tokens is None:
        return None
    try:
        return block_of_model(catalogue_name(model), tokens, pins)
    except ScenarioError as error:
        refuse(error.diagnostics)


def _draw(found: Prediction, block: BlockSize | None, chart: Path) -> None:
    from kvscen.report.chart_png import write_png
    from kvscen.results.errors import why

    try:
        write_png(found, block, chart)
    except OSError as error:
        fail(f"cannot write {chart}: {why(error)}", "name another file")


def _print(found: Prediction, block: BlockSize | None, form: str, text_chart: bool | None) -> None:
    from kvscen.report.predict import prediction_json, prediction_rows, prediction_table
    from kvscen.report.write import write_rows, write_table

    if form == "json":
        click.echo(json.dumps(prediction_json(found, block), indent=2, ensure_ascii=False))
    elif form == "csv":
        write_rows(list(prediction_rows(found, block)), sys.stdout)
    else:
        chart = sys.stdout.isatty() if text_chart is None else text_chart
        write_table(lambda width: prediction_table(found, block, width, chart), sys.stdout)
