"""Exact and KVBench's sizes side by side: of the points of a plan, or of a model of the catalogue without a
scenario."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from kvscen.language.blocks import TransferSettings
from kvscen.language.check import check_source
from kvscen.language.diagnose import ScenarioError, Source, has_errors
from kvscen.language.resolve import universe_of
from kvscen.language.schema import settings_of
from kvscen.model.compare import Difference, differences
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.kvbench import KVBenchSize, kvbench_size, left_out
from kvscen.plan.expand import idle_pins
from kvscen.plan.late import Late, flatten
from kvscen.plan.pins import read_pins
from kvscen.plan.point import ModelBlock, PatternBlock, Plan
from kvscen.plan.reach import model_block, models_of, place
from kvscen.plan.resolve import Resolver, to_diagnostic

#: Fields of a transfer that its sizes depend on.
_ASKED = ("access", "page_tokens", "prompt_tokens", "output_tokens", "requests", "sizing", "weight_dtype")

#: Of a model without a scenario: the prompt of KVBench's examples.
PROMPT_TOKENS = 1000


@attrs.frozen
class Sized:
    """A pattern with a model. A size is None where there is none; then `reasons` says why. `differences`: why the two
    differ. `notes`: what was given and counts on neither side."""

    pattern: PatternBlock
    model: ModelBlock
    exact: ExactSize | None
    kvbench: KVBenchSize | None
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


def sized(pattern: PatternBlock, model: ModelBlock) -> Sized:
    """Both sizes of a completed pattern and its model."""
    exact, kvbench = exact_size(pattern.settings, model), kvbench_size(pattern.settings, model)
    why: tuple[Difference, ...] = ()
    if isinstance(exact, ExactSize) and isinstance(kvbench, KVBenchSize):
        why = differences(pattern.settings, model, exact, kvbench)
    return Sized(
        pattern,
        model,
        exact if isinstance(exact, ExactSize) else None,
        kvbench if isinstance(kvbench, KVBenchSize) else None,
        tuple(finding.message for side in (exact, kvbench) if isinstance(side, tuple) for finding in side),
        why,
        tuple(
            f"`{setting}` counts on neither side: {sentence}"
            for setting, sentence in left_out(pattern.settings, model)
            if setting == "weight_dtype"
        ),
    )


def sizes_of(plan: Plan) -> tuple[Sized, ...]:
    """The sizes of every pattern and model of a plan, each combination once, in the order of the points. A matrix has
    no blocks, and a replay those of its trace: their plans say how much is moved."""
    found: dict[object, Sized] = {}
    for point in plan.points:
        if point.model is None or point.pattern.type != "transfer":
            continue
        settings = point.pattern.settings
        key = (point.pattern.name, point.model, *(getattr(settings, name) for name in _ASKED))
        if key not in found:
            found[key] = sized(point.pattern, point.model)
    return tuple(found.values())


def size_model(model: str, pins: Sequence[str] = ()) -> Sized:
    """The sizes of a model of the catalogue. `pins` are `setting=value`s of the model or of the pattern `pages`; a bare
    setting is that one of the two that has it. Raises ScenarioError."""
    # With `sizing = kvbench` the pattern keeps the weights' format, which the exact sizes do not look at.
    text = f"""kvs 1
use models
pattern pages : transfer {{ model = {model}; prompt = {PROMPT_TOKENS} tokens; sizing = kvbench; op = read }}
sweep sizes {{ pattern = pages }}
"""
    checked = check_source(Source("kvscen size", text), None)
    assert checked.scenario is not None, checked.diagnostics
    scenario, universe = checked.scenario, universe_of(checked.scenario)
    read = read_pins(scenario, universe, [_whole_path(model, pin) for pin in pins])
    resolver = Resolver(Late(scenario, universe, flatten(scenario, universe, scenario.sweeps["sizes"], read)))
    pattern = resolver.block("pages", {})
    models = models_of(resolver, pattern, {})
    problems = [item for part in (pattern, *models) for item in part.problems]
    problems += idle_pins(read, {key for part in (pattern, *models) for key in part.used})
    if has_errors(problems):
        raise ScenarioError(problems)
    own = model_block(models)
    size = exact_size(pattern.settings, own)
    if isinstance(size, tuple):
        raise ScenarioError(to_diagnostic(finding, place(finding, (pattern, *models))) for finding in size)
    return sized(PatternBlock(pattern.name, pattern.built_in, pattern.settings), own)


def _whole_path(model: str, pin: str) -> str:
    name = pin.partition("=")[0].strip()
    if "." in name:
        return pin
    return f"{'pages' if name in settings_of(TransferSettings) else model}.{pin.strip()}"
