"""Exact and KVBench's sizes side by side: of the points of a plan, or of a model of the catalogue without a
scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from kvscen.language.blocks import TransferSettings
from kvscen.language.check import check_source
from kvscen.language.diagnose import ScenarioError, Source, has_errors
from kvscen.language.resolve import universe_of
from kvscen.language.schema import settings_of
from kvscen.language.values import format_value
from kvscen.model.compare import Difference, differences
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.geometry import Geometry, model_geometry
from kvscen.model.kvbench import KVBenchSize, kvbench_size, left_out
from kvscen.model.room import Room, room
from kvscen.plan.expand import idle_pins
from kvscen.plan.late import Late, flatten
from kvscen.plan.pins import read_pins
from kvscen.plan.point import ModelBlock, PatternBlock, Plan, Tier
from kvscen.plan.reach import model_block, models_of, place
from kvscen.plan.resolve import Resolver, to_diagnostic

#: Fields of a transfer that its sizes depend on.
_ASKED = ("access", "page_tokens", "prompt_tokens", "output_tokens", "requests", "sizing", "weight_dtype")

#: Of a model without a scenario: the prompt of KVBench's examples.
PROMPT_TOKENS = 1000


#: Why a model has no block of one size; what it keeps of a request is known all the same.
_NO_BLOCK = frozenset({"KVS205", "KVS207"})


@attrs.frozen
class Sized:
    """A pattern with a model. `geometry`: None where the model's settings are wrong. A size is None where there is
    none; then `reasons` says why. `differences`: why the two differ. `notes`: what was given and counts on neither
    side. `rooms`: how much of the KV the tiers hold that have a capacity."""

    pattern: PatternBlock
    model: ModelBlock
    geometry: Geometry | None
    exact: ExactSize | None
    kvbench: KVBenchSize | None
    reasons: tuple[str, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    rooms: tuple[Room, ...] = ()

    @property
    def tokens(self) -> int:
        """Of one request."""
        return int(self.pattern.settings.prompt_tokens + (self.pattern.settings.output_tokens or 0))

    @property
    def page_tokens(self) -> int:
        return int(self.pattern.settings.page_tokens)

    def with_rooms(self, capacities: Mapping[str, int]) -> Sized:
        """With what these capacities hold, each by the name of what has it."""
        if self.geometry is None:
            return self
        geometry = self.geometry
        return attrs.evolve(
            self,
            rooms=tuple(room(name, size, geometry, self.tokens, self.page_tokens) for name, size in capacities.items()),
        )


def sized(pattern: PatternBlock, model: ModelBlock) -> Sized:
    """Both sizes of a completed pattern and its model."""
    geometry = model_geometry(model)
    exact, kvbench = exact_size(pattern.settings, model), kvbench_size(pattern.settings, model)
    why: tuple[Difference, ...] = ()
    if isinstance(exact, ExactSize) and isinstance(kvbench, KVBenchSize):
        why = differences(pattern.settings, model, exact, kvbench)
    return Sized(
        pattern,
        model,
        geometry if isinstance(geometry, Geometry) else None,
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
    capacities: dict[object, dict[str, int]] = {}
    for point in plan.points:
        if point.model is None or point.pattern.type != "transfer":
            continue
        settings = point.pattern.settings
        key = (point.pattern.name, point.model, *(getattr(settings, name) for name in _ASKED))
        if key not in found:
            found[key] = sized(point.pattern, point.model)
        capacities.setdefault(key, {}).update(_capacities(point.tier))
    return tuple(size.with_rooms(capacities[key]) for key, size in found.items())


def _capacities(tier: Tier) -> Iterator[tuple[str, int]]:
    """Of a tier and its levels, those that have a capacity; what a cache gives a level is called by both."""
    given: Sequence[int] = getattr(tier.settings, "capacities", None) or ()
    own = getattr(tier.settings, "capacity_bytes", None)
    if isinstance(own, int):
        yield tier.name, own
    for number, level in enumerate(tier.levels):
        if number < len(given):
            yield f"{tier.name}.{level.name}", given[number]
        else:
            yield from _capacities(level)


def size_model(model: str, pins: Sequence[str] = (), config: Path | None = None) -> Sized:
    """The sizes of a model of the catalogue, or with `config` of one that this Hugging Face configuration describes.
    `pins` are `setting=value`s of the model or of the pattern `pages`; a bare setting is that one of the two that has
    it. Raises ScenarioError."""
    described = "" if config is None else f"model {model} : hf({format_value(str(config))}) {{}}\n"
    # With `sizing = kvbench` the pattern keeps the weights' format, which the exact sizes do not look at.
    text = f"""kvs 1
use models
{described}pattern pages : transfer {{ model = {model}; prompt = {PROMPT_TOKENS} tokens; sizing = kvbench; op = read }}
sweep sizes {{ pattern = pages }}
"""
    checked = check_source(Source("kvscen size", text), None if config is None else Path())
    if checked.scenario is None:
        raise ScenarioError(checked.diagnostics)
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
    if isinstance(size, tuple) and any(finding.code not in _NO_BLOCK for finding in size):
        raise ScenarioError(to_diagnostic(finding, place(finding, (pattern, *models))) for finding in size)
    return sized(PatternBlock(pattern.name, pattern.built_in, pattern.settings), own)


def _whole_path(model: str, pin: str) -> str:
    name = pin.partition("=")[0].strip()
    if "." in name:
        return pin
    return f"{'pages' if name in settings_of(TransferSettings) else model}.{pin.strip()}"
