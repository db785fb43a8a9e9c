"""`kvscen predict`: from a trace, without moving a byte, what a cache of each capacity would hit."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kvscen.cache import POLICIES
from kvscen.cli.catalogue import catalogue_name
from kvscen.cli.loading import fail, refuse
from kvscen.cli.reading import reading

if TYPE_CHECKING:
    from kvscen.predict import Prediction
    from kvscen.predict.block import BlockSize
    from kvscen.trace import Trace

_CAPACITY_HELP = (
    "Blocks (20000), a share of the unique blocks (10%), bytes (512 GiB), or none: no limit. May be given several "
    "times.  [default: 1 to 100%, and none]"
)


@click.command("predict")
@click.argument("file", metavar="TRACE", type=click.Path(path_type=Path))
@click.option("--model", metavar="MODEL", help="A model of the catalogue, such as llama3_1_70b: how large a block is.")
@click.option("--kv-dtype", metavar="FORMAT", help="Of the model: format of the KV, such as fp8.")
@click.option("--tp", metavar="RANKS", help="Of the model: ranks that share each layer.  [default: 1]")
@click.option("--pp", metavar="STAGES", help="Of the model: pipeline stages.  [default: 1]")
@click.option("--block-bytes", metavar="SIZE", help="Instead of a model: how large a block is, as in 2.5 MiB.")
@click.option("--policy", type=click.Choice(list(POLICIES)), default="lru", show_default=True)
@click.option("--capacity", "capacities", multiple=True, metavar="CAPACITY", help=_CAPACITY_HELP)
@click.option("--sample", metavar="RATE", help="Look at this share of the blocks only: 1%, 1/64. Bounded memory.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--chart", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the curve into a PNG.")
@click.option("--text-chart/--no-text-chart", default=None, help="Draw it in characters.  [default: in a terminal]")
@click.option("--trace-format", metavar="FORMAT", help="Format of the trace, where its content does not tell it.")
@click.option(
    "--block-tokens", type=click.IntRange(1, 1 << 20), metavar="TOKENS", help="As of kvscen import trace: of a block."
)
@click.option("--sort", is_flag=True, help="As of kvscen import trace: sort requests by time.")
def command(
    file: Path,
    model: str | None,
    block_bytes: str | None,
    policy: str,
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
    """Predict from a trace what a cache of each capacity would hit, without moving a byte.

    TRACE is any trace with block ids that kvscen import trace reads, or the Parquet file that it made. The
    policies lru and lru_tail_first have the whole curve in one pass; with another, name capacities.

    The exit code is 0, or 2 when the trace or the command is wrong.
    """
    from kvscen.predict import PredictionError, parse_bytes, parse_capacity, predict
    from kvscen.trace import TraceError, open_trace

    pins = [f"{name}={value}" for name, value in settings.items() if value is not None]
    _check_model(model, block_bytes, settings)
    if chart is not None:
        _check_chart(chart)
    try:
        given = [parse_capacity(text) for text in capacities]
        outright = None if block_bytes is None else parse_bytes(block_bytes)
        halvings = None if sample is None else _halvings(sample)
        with reading(file) as progress:
            trace = open_trace(file, trace_format, block_tokens=block_tokens, sort=sort, progress=progress)
            block = _block(trace, model, pins, outright)
            found = predict(trace, policy, given, None if block is None else block.total_bytes, halvings)
        # First what was asked for: a PNG that cannot be written must not cost it.
        _print(found, block, form, text_chart)
        if chart is not None:
            _draw(found, block, chart)
    except TraceError as error:
        # There the output has no format of its own, so the trace's is called --format.
        fail(str(error), error.remedy.replace("--format", "--trace-format"))
    except PredictionError as error:
        fail(str(error), error.remedy)
    except KeyboardInterrupt:
        fail("interrupted", code=130)
    except MemoryError:
        fail(f"{file} does not fit in memory", "look at a share of its blocks: --sample 1%")


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
    from kvscen.language.suggest import did_you_mean

    known = catalogue_names()
    fail(f"no model of the catalogue is called `{model}`", did_you_mean(model, known, f"there are {', '.join(known)}"))


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
