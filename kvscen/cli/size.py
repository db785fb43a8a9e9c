"""`kvscen size`: how large the blocks of a model's KV are, exactly and as KVBench has it, and why the two differ."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from kvscen.cli.complete import scenarios_and_models
from kvscen.cli.loading import fail, load_plan, refuse
from kvscen.language.published import catalogue_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvscen.plan.sizing import Sized

#: Flags of a model of the catalogue -> the setting that each stands for.
_FLAGS = ("tp", "pp", "kv_dtype", "weight_dtype", "access", "page", "prompt", "output", "requests")
#: Settings that are written with a unit in a scenario; a flag's metavar says it.
_TOKENS = frozenset({"page", "prompt", "output"})


@click.command("size")
@click.argument("what", metavar="SCENARIO|MODEL", shell_complete=scenarios_and_models)
@click.option("--tp", metavar="RANKS", help="Ranks that share each layer.  [default: 1]")
@click.option("--pp", metavar="STAGES", help="Pipeline stages.  [default: 1]")
@click.option("--kv-dtype", metavar="FORMAT", help="Format of the KV, such as fp8.  [default: the model's, bf16]")
@click.option("--weight-dtype", metavar="FORMAT", help="Format of the weights, which KVBench takes for the KV's.")
@click.option("--access", metavar="block|layer", help="All layers of a page in a block, or one.  [default: block]")
@click.option("--page", metavar="TOKENS", help="Tokens of a page.  [default: 16]")
@click.option("--prompt", metavar="TOKENS", help="Tokens of a request's prompt.  [default: 1000]")
@click.option("--output", metavar="TOKENS", help="Generated tokens of a request.  [default: 0]")
@click.option("--requests", metavar="COUNT", help="Requests of a batch.  [default: 1]")
@click.option(
    "--fit",
    "fits",
    multiple=True,
    metavar="SIZE",
    help="Also show how many requests and tokens have room in it: --fit '80 GiB'. Of a scenario that is said of each "
    "tier with a capacity.",
)
@click.option(
    "--set", "pins", multiple=True, metavar="PATH=VALUE", help="Fix a setting: --set pages.requests=100, --set tp=8."
)
@click.option("--sweep", "sweeps", multiple=True, metavar="NAME", help="Of a scenario: only this sweep.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(
    what: str, fits: tuple[str, ...], pins: tuple[str, ...], sweeps: tuple[str, ...], form: str, **flags: str | None
) -> None:
    """Show how large the blocks of a model's KV are: exactly, as KVBench has it, and why they differ.

    \b
    SCENARIO  a file that ends in .kvs: each of its patterns with each of its models
    MODEL     a model of the catalogue, such as llama3_1_70b, or a Hugging Face configuration, such as
              ./config.json, with the flags below

    Nothing is run and nothing on this machine is looked at. The exit code is 0, or 2 when the scenario, the
    model or the command is wrong.
    """
    from kvscen.language.define import catalogue_names

    given = {name: value for name, value in flags.items() if value is not None}
    name = catalogue_name(what)
    config = Path(what) if what.endswith(".json") else None
    of_scenario = config is None and (what.endswith(".kvs") or what == "-" or Path(what).is_file())
    if config is None and not of_scenario and name not in catalogue_names():
        _unknown(what, name)
    if of_scenario:
        sizes, unsized = _of_scenario(what, given, pins, sweeps)
    else:
        sizes, unsized = (_of_model(name, given, pins, sweeps, config),), 0
    if fits:
        rooms = {text: _capacity(text) for text in fits}
        sizes = tuple(
            size.with_rooms({**{each.place: each.capacity_bytes for each in size.rooms}, **rooms}) for size in sizes
        )
    _print(sizes, of_scenario, unsized, form)


def _of_scenario(
    what: str, given: dict[str, str], pins: Sequence[str], sweeps: Sequence[str]
) -> tuple[Sequence[Sized], int]:
    """The sizes, and how many points have blocks without a model."""
    from kvscen.plan.sizing import sizes_of

    if given:
        flag = next(iter(given))
        raise click.UsageError(
            f"--{flag.replace('_', '-')} is about a model of the catalogue; of a scenario fix a path: "
            f"--set {'MODEL' if flag in ('tp', 'pp', 'kv_dtype') else 'PATTERN'}.{flag}={given[flag]}"
        )
    plan = load_plan(Path(what), pins, sweeps)
    sizes = sizes_of(plan)
    if not sizes and any(point.work.traffic is not None for point in plan.points):
        fail(
            f"the points of {what} move no blocks: ranks send to each other what a matrix says",
            f"see what they send: kvscen plan {what}",
        )
    if not sizes and any(point.work.replay is not None for point in plan.points):
        fail(
            f"the points of {what} replay a trace: how many blocks a request has, the trace says",
            f"see how large they are: kvscen plan {what}",
        )
    if not sizes:
        fail(
            f"no point of {what} moves the KV of a model: their patterns say `block` themselves",
            "name a model of the catalogue instead: kvscen size llama3_1_70b",
        )
    return sizes, sum(point.model is None and point.work.traffic is None for point in plan.points)


def _of_model(
    name: str, given: dict[str, str], pins: Sequence[str], sweeps: Sequence[str], config: Path | None
) -> Sized:
    from kvscen.language.diagnose import ScenarioError
    from kvscen.plan.sizing import size_model

    if sweeps:
        raise click.UsageError("--sweep is about a scenario, and none is named")
    written = [f"{setting}={_value(setting, value)}" for setting, value in given.items()]
    try:
        return size_model(name if config is None else "model", [*written, *pins], config)
    except ScenarioError as error:
        refuse(error.diagnostics)


def _capacity(text: str) -> int:
    from kvscen.predict.capacity import parse_bytes
    from kvscen.predict.errors import PredictionError

    try:
        return parse_bytes(text)
    except PredictionError as error:
        fail(f"--fit: {error}", error.remedy)


def _value(setting: str, value: str) -> str:
    return f"{value} tokens" if setting in _TOKENS and re.fullmatch(r"[\d_]+", value) else value


def _unknown(what: str, name: str) -> NoReturn:
    from kvscen.language.define import catalogue_names
    from kvscen.language.suggest import did_you_mean, listed

    known = catalogue_names()
    there = (
        f"the models are {listed(known)} (docs/models.md); a scenario's name ends in .kvs, a configuration's in .json"
    )
    fail(f"no model of the catalogue is called `{what}`, and there is no such file", did_you_mean(name, known, there))


def _print(sizes: Sequence[Sized], of_scenario: bool, unsized: int, form: str) -> None:
    from kvscen.report.size import size_json, size_rows, size_table
    from kvscen.report.write import write_rows, write_table

    if form == "json":
        click.echo(json.dumps(size_json(sizes, of_scenario, unsized), indent=2, ensure_ascii=False))
    elif form == "csv":
        write_rows(list(size_rows(sizes, of_scenario)), sys.stdout)
    else:
        write_table(lambda width: size_table(sizes, of_scenario, width, unsized), sys.stdout)
