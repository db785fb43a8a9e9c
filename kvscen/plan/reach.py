"""One point: the blocks that it reaches, its tier with its levels, its work in numbers, and what its driver says to
it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.scenario import Assigned
from kvscen.language.schema import Finding, settings_of
from kvscen.language.suggest import listed
from kvscen.language.values import Value
from kvscen.pattern import transfer
from kvscen.plan.late import Late
from kvscen.plan.pins import Pin
from kvscen.plan.point import ModelBlock, PatternBlock, Tier, Work
from kvscen.plan.resolve import Resolved, Resolver, failed, guarded_findings, to_diagnostic


@attrs.frozen(eq=False)
class Reached:
    """A point before it is skipped, judged or numbered. `blocks` are the pattern, its model, the tier and its
    levels."""

    own: Resolved
    blocks: tuple[Resolved, ...]
    pattern_block: PatternBlock
    model_block: ModelBlock | None
    tier: Tier
    work: Work
    warnings: tuple[Diagnostic, ...]

    @property
    def answers(self) -> Mapping[str, Any]:
        """The values of all paths that the point reaches."""
        merged: dict[str, Any] = {}
        for part in (self.own, *self.blocks):
            merged.update(part.lets)
            merged.update(part.answers)
        return merged

    @property
    def lets(self) -> Mapping[str, Value]:
        return {name: value for part in (self.own, *self.blocks) for name, value in part.lets.items()}

    @property
    def used(self) -> frozenset[str]:
        return frozenset().union(*(part.used for part in (self.own, *self.blocks)))

    @property
    def kept(self) -> frozenset[Assigned | Pin]:
        return frozenset().union(*(part.kept for part in (self.own, *self.blocks)))

    @property
    def dropped(self) -> frozenset[Assigned | Pin]:
        return frozenset().union(*(part.dropped for part in (self.own, *self.blocks)))


def reach(resolver: Resolver, late: Late, choice: Mapping[int, int]) -> Reached:
    """The point of a choice. Raises Unchosen where it asks for an axis that has no row yet, ScenarioError with all its
    problems."""
    own = resolver.sweep(choice)
    problems: list[Diagnostic] = []
    pattern = _tried(lambda: resolver.block(own.settings.pattern, choice), problems)
    model = None
    model_name = getattr(pattern.settings, "model", None) if pattern else None
    if model_name is not None:
        model = _tried(lambda: resolver.block(model_name, choice), problems)
    tiers: list[Resolved] = []
    tier = _tier(resolver, late, own.settings.tier, own.span_of("tier"), choice, (), tiers, problems)
    if problems or pattern is None or tier is None:
        raise ScenarioError(problems)
    numbers = transfer.work(pattern.settings, model.settings if model else None, own.settings)
    if not isinstance(numbers, Work):
        raise ScenarioError([to_diagnostic(item, _place(item, pattern, model, own)) for item in numbers])
    blocks = tuple(part for part in (pattern, model, *tiers) if part is not None)
    said = [item for part in (own, *blocks) for item in part.warnings]
    said += _ask_drivers(late, tier, numbers, pattern, {part.name: part for part in tiers})
    if has_errors(said):
        raise ScenarioError(said)
    return Reached(
        own,
        blocks,
        PatternBlock(pattern.name, pattern.built_in, pattern.settings),
        ModelBlock(model.name, model.built_in, model.settings) if model else None,
        tier,
        numbers,
        tuple(said),
    )


def _tried(make: Callable[[], Resolved], problems: list[Diagnostic]) -> Resolved | None:
    try:
        return make()
    except ScenarioError as error:
        problems.extend(error.diagnostics)
        return None


def _place(finding: Finding, pattern: Resolved, model: Resolved | None, own: Resolved) -> Span:
    """Where the setting that a finding names is written: in the pattern, its model or the sweep."""
    for part in (pattern, model, own):
        if part is not None and finding.setting in part.found:
            return part.span_of(finding.setting)
    return pattern.span


def _tier(
    resolver: Resolver,
    late: Late,
    name: str,
    span: Span,
    choice: Mapping[int, int],
    above: tuple[str, ...],
    tiers: list[Resolved],
    problems: list[Diagnostic],
) -> Tier | None:
    """A tier with its levels. Each tier that it reaches is added to `tiers` once."""
    if name in above:
        chain = " -> ".join((*above[above.index(name) :], name))
        problems.append(
            diagnostic("KVS111", f"the tier is a level of itself: {chain}", span, help="take it out of the levels")
        )
        return None
    resolved = _tried(lambda: resolver.block(name, choice), problems)
    if resolved is None:
        return None
    if all(part is not resolved for part in tiers):
        tiers.append(resolved)
    levels: list[Tier] = []
    whole = True
    levels_setting = late.scenario.drivers[resolved.built_in].levels_setting
    for setting, info in settings_of(type(resolved.settings)).items():
        if info.type.refers_to != "tier":
            continue
        value = getattr(resolved.settings, info.field)
        if value is None:
            continue
        for below in (value,) if isinstance(value, str) else value:
            place = resolved.span_of(setting)
            level = _tier(resolver, late, below, place, choice, (*above, name), tiers, problems)
            if level is None:
                whole = False
            elif setting == levels_setting:
                levels.append(level)
    return Tier(name, resolved.built_in, resolved.settings, tuple(levels)) if whole else None


# ---- what the drivers say


def _ask_drivers(
    late: Late, tier: Tier, work: Work, pattern: Resolved, tiers: Mapping[str, Resolved]
) -> Iterator[Diagnostic]:
    """Can the tier do this work? Its levels are asked too, except for what only the tier itself is asked to do."""
    driver = late.scenario.drivers[tier.driver]
    if work.op not in driver.operations:
        yield diagnostic(
            "KVS302",
            f"the driver `{tier.driver}` of the tier `{tier.name}` cannot do `op = {work.op}`",
            pattern.span_of("op"),
            help=f"it can do {listed(sorted(driver.operations))}",
        )
    yield from _ask_each(late, tier, work, pattern, tiers)


def _ask_each(
    late: Late, tier: Tier, work: Work, pattern: Resolved, tiers: Mapping[str, Resolved]
) -> Iterator[Diagnostic]:
    driver, resolved = late.scenario.drivers[tier.driver], tiers[tier.name]
    if work.memory not in driver.memory:
        yield diagnostic(
            "KVS302",
            f"the driver `{tier.driver}` of the tier `{tier.name}` cannot use `memory = {work.memory}`",
            pattern.span_of("memory") if "memory" in pattern.found else resolved.span,
            help=f"it can use {listed(sorted(driver.memory))}",
        )
    if driver.max_processes is not None and work.processes > driver.max_processes:
        yield diagnostic(
            "KVS302",
            f"a tier of the driver `{tier.driver}` is shared by at most {driver.max_processes} "
            f"process{'es' if driver.max_processes > 1 else ''}, not {work.processes}",
            pattern.span_of("processes"),
            help="use `threads` for more lanes",
        )
    findings, problems = guarded_findings(lambda: driver.lint(tier, work), tier.driver, resolved.span)
    yield from problems
    for finding in findings:
        of_pattern = finding.setting not in resolved.found and finding.setting in pattern.found
        yield to_diagnostic(finding, (pattern if of_pattern else resolved).span_of(finding.setting))
    try:
        driver.footprint(tier, work)
        below = [driver.level_work(tier, work, number) for number in range(len(tier.levels))]
    except Exception as error:  # third-party code may raise anything
        yield failed(tier.driver, error, resolved.span)
        return
    for level, level_work in zip(tier.levels, below, strict=True):
        yield from _ask_each(late, level, level_work, pattern, tiers)
