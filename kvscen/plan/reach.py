"""One point: the blocks that it reaches, its tier with its levels, its work in numbers, and what its driver says to
it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.conversations import ConversationsSettings
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.matrix import MatrixSettings
from kvscen.language.replay import ReplaySettings
from kvscen.language.scenario import Assigned
from kvscen.language.schema import Finding, settings_of
from kvscen.language.suggest import listed
from kvscen.pattern import conversations, matrix, replay, transfer
from kvscen.pattern.matrix_file import MatrixFile
from kvscen.plan import matrices, traces
from kvscen.plan.late import Late
from kvscen.plan.pins import Pin
from kvscen.plan.point import ModelBlock, Tier, Work
from kvscen.plan.resolve import Resolved, Resolver, failed, to_diagnostic
from kvscen.plan.talk import Users
from kvscen.plan.traces import TraceRead, TurnsRead
from kvscen.plugin.contract import Driver, Tool


@attrs.frozen(eq=False)
class Reached:
    """The blocks that a point reaches, whether or not it can be run: it may be skipped yet. `models` are the pattern's
    model and the parts that it is made of, `users` those who converse, `tiers` the tier and its levels, each once,
    `matrices` the files of traffic that the pattern names, `trace` the trace, `turns` the conversations of one."""

    own: Resolved
    pattern: Resolved
    models: tuple[Resolved, ...]
    tiers: tuple[Resolved, ...]
    tier: Tier
    matrices: tuple[MatrixFile, ...] = ()
    trace: TraceRead | None = None
    users: tuple[Resolved, ...] = ()
    turns: TurnsRead | None = None

    @property
    def blocks(self) -> tuple[Resolved, ...]:
        return (self.pattern, *self.models, *self.users, *self.tiers)

    @property
    def model(self) -> ModelBlock | None:
        return model_block(self.models) if self.models else None

    @property
    def answers(self) -> Mapping[str, Any]:
        """The values of all paths that the point reaches."""
        merged: dict[str, Any] = {}
        for part in (self.own, *self.blocks):
            merged.update(part.lets)
            merged.update(part.answers)
        return merged

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
    """The blocks of a point. Raises Unchosen where it asks for an axis that has no row yet, ScenarioError with what
    keeps a block from having its settings."""
    own = resolver.sweep(choice)
    problems: list[Diagnostic] = []
    pattern = _tried(lambda: resolver.block(own.settings.pattern, choice), problems)
    models: tuple[Resolved, ...] = ()
    users: tuple[Resolved, ...] = ()
    if pattern is not None:
        try:
            models = models_of(resolver, pattern, choice)
            users = tuple(resolver.block(name, choice) for name in getattr(pattern.settings, "mix", None) or ())
        except ScenarioError as error:
            problems.extend(error.diagnostics)
    tiers: list[Resolved] = []
    tier = _tier(resolver, late, own.settings.tier, own.span_of("tier"), choice, (), tiers, problems)
    if problems or pattern is None or tier is None:
        raise ScenarioError(problems)
    trace, turns = resolver.traces.of(pattern), resolver.traces.turns_of(pattern)
    return Reached(own, pattern, models, tuple(tiers), tier, resolver.files.of(pattern), trace, users, turns)


def work_of(point: Reached, drivers: Mapping[str, Driver]) -> tuple[Work | None, tuple[Diagnostic, ...]]:
    """The point's work in numbers, None where there is an error, and everything that is said about it: by the settings
    of its blocks, by the pattern and by the drivers."""
    said = [item for part in (point.own, *point.blocks) for item in part.problems]
    if has_errors(said):
        return None, tuple(said)
    parts = (point.pattern, *point.models, *point.users, point.own)
    settings, own = point.pattern.settings, point.own.settings
    if isinstance(settings, MatrixSettings):
        said += matrices.problems(point.matrices, point.pattern.span_of("files"))
        if has_errors(said):
            return None, tuple(said)
        work, findings = matrix.work(settings, point.model, own, [file.cells for file in point.matrices if file.cells])
    elif isinstance(settings, ReplaySettings):
        assert point.trace is not None
        said += traces.problems(point.trace, settings, point.pattern.span_of("trace"))
        if has_errors(said):
            return None, tuple(said)
        work, findings = replay.work(settings, point.model, own, point.trace, point.own.found)
    elif isinstance(settings, ConversationsSettings):
        said += traces.problems_of_turns(point.turns, point.pattern.span_of("trace"))
        if has_errors(said):
            return None, tuple(said)
        users = [Users(each.name, each.settings) for each in point.users]
        turns = None if point.turns is None else point.turns.turns
        work, findings = conversations.work(settings, users, point.model, own, turns, point.own.found)
    else:
        work, findings = transfer.work(settings, point.model, own)
    said += [to_diagnostic(finding, place(finding, parts)) for finding in findings]
    if work is None:
        return None, tuple(said)
    said += _ask_drivers(point, work, drivers)
    return (None if has_errors(said) else work), tuple(said)


def _tried(make: Callable[[], Resolved], problems: list[Diagnostic]) -> Resolved | None:
    try:
        return make()
    except ScenarioError as error:
        problems.extend(error.diagnostics)
        return None


def place(finding: Finding, parts: Sequence[Resolved]) -> Span:
    """Where the setting that a finding names is written: in the first of these blocks that has it, else the first
    block."""
    for part in parts:
        if finding.setting in part.found:
            return part.span_of(finding.setting)
    return parts[0].span


def models_of(resolver: Resolver, pattern: Resolved, choice: Mapping[int, int]) -> tuple[Resolved, ...]:
    """The pattern's model, and after it the parts that it is made of, each once; none where the pattern has no model.
    Raises Unchosen, and ScenarioError with what keeps one of them from having its settings."""
    name = getattr(pattern.settings, "model", None)
    if name is None:
        return ()
    model = resolver.block(name, choice)
    problems: list[Diagnostic] = []
    parts = []
    for part in dict.fromkeys(getattr(model.settings, "parts", ())):
        resolved = None
        if resolver.late.scenario.blocks[part].built_in == model.built_in:
            problems.append(
                diagnostic(
                    "KVS105",
                    f"`{part}` is a {model.built_in} itself; a part has layers of one kind",
                    model.span_of("parts"),
                    help="name a model of `mha`, `gqa`, `mla` or `linear`",
                )
            )
        else:
            resolved = _tried(lambda part=part: resolver.block(part, choice), problems)  # type: ignore[misc]
        if resolved is not None:
            parts.append(resolved)
    if problems:
        raise ScenarioError(problems)
    return (model, *parts)


def model_block(models: Sequence[Resolved]) -> ModelBlock:
    """What `models_of` found, as a point has it."""
    model, *parts = models
    by_name = {part.name: ModelBlock(part.name, part.built_in, part.settings) for part in parts}
    names = getattr(model.settings, "parts", ())
    return ModelBlock(model.name, model.built_in, model.settings, tuple(by_name[name] for name in names))


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
    driver = late.scenario.drivers[resolved.built_in]
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
            elif setting == driver.levels_setting:
                levels.append(level)
    if not whole:
        return None
    virtual = all(level.virtual for level in levels) if levels else driver.virtual
    return Tier(name, resolved.built_in, resolved.settings, tuple(levels), virtual)


# ---- what the drivers say


def _ask_drivers(point: Reached, work: Work, drivers: Mapping[str, Driver]) -> Iterator[Diagnostic]:
    """Can the tier do this work? Its levels are asked too, except for what only the tier itself is asked to do."""
    tier, driver = point.tier, drivers[point.tier.driver]
    if work.traffic is not None and not driver.ranks:
        yield diagnostic(
            "KVS302",
            f"the driver `{tier.driver}` of the tier `{tier.name}` cannot do a `matrix`: it does not move bytes from "
            "the memory of one rank to that of another",
            point.own.span_of("tier"),
            help="use a tier of a driver that does: `nixl` with a network backend (`backend = UCX`), or `memory`",
        )
        return
    if work.replay is not None:
        said = tuple(_ask_to_replay(point, driver))
        if said:
            yield from said
            return
    elif work.op not in driver.operations:
        yield diagnostic(
            "KVS302",
            f"the driver `{tier.driver}` of the tier `{tier.name}` cannot do `op = {work.op}`",
            point.pattern.span_of("op"),
            help=f"it can do {listed(sorted(driver.operations))}",
        )
    if work.ceiling != "none" and work.ceiling not in driver.ceilings:
        yield diagnostic(
            "KVS304",
            f"the driver `{tier.driver}` of the tier `{tier.name}` has nothing to hold against: "
            f"`ceiling = {work.ceiling}`",
            point.own.span_of("ceiling"),
            help=f"it can be held against {listed(sorted(driver.ceilings))}"
            if driver.ceilings
            else "leave `ceiling` out, or give these points a sweep of their own",
        )
    if isinstance(driver, Tool):
        yield from _ask_tool(point, work)
    resolved = {part.name: part for part in point.tiers}
    yield from _ask_each(tier, work, point.pattern, resolved, drivers)


def _ask_to_replay(point: Reached, driver: Driver) -> Iterator[Diagnostic]:
    tier, read = point.tier, point.trace
    if isinstance(driver, Tool) or "mixed" not in driver.operations:
        yield diagnostic(
            "KVS302",
            f"the driver `{tier.driver}` of the tier `{tier.name}` cannot do {_what(point)}: which block is read "
            "and which is written is decided request by request",
            point.own.span_of("tier"),
            help="use a tier whose operations kvscen posts itself, such as `tiered`, `posix` or `memory`",
        )
    if tier.levels and read is not None and read.requests is not None and not read.requests.known_blocks:
        yield diagnostic(
            "KVS231",
            "the trace does not say which blocks its requests share, so a cache would find none of them",
            point.pattern.span_of("trace"),
            help="take a trace with ids of blocks, or a tier that is no cache to measure the writes alone",
        )


def _what(point: Reached) -> str:
    return "a `replay`" if point.trace is not None else f"`{point.pattern.built_in}`"


def _ask_tool(point: Reached, work: Work) -> Iterator[Diagnostic]:
    """A program that takes whole points measures and writes by itself: what the worker would do is left undone."""
    own, pattern = point.own, point.pattern
    asked: tuple[tuple[bool, Resolved, str], ...] = (
        (work.until == "steady", own, "until"),
        (work.precondition > 0, own, "precondition"),
        (work.durability == "end", own, "durability"),
        (work.cpus is not None, pattern, "cpus"),
        (work.numa_node is not None, pattern, "numa"),
    )
    for wanted, part, setting in asked:
        if wanted:
            yield diagnostic(
                "KVS302",
                f"the driver `{point.tier.driver}` of the tier `{point.tier.name}` runs a program of its own: "
                f"`{setting}` has no effect on it",
                part.span_of(setting),
                help=f"leave `{setting}` out, or give these points a sweep of their own",
            )


def _ask_each(
    tier: Tier, work: Work, pattern: Resolved, tiers: Mapping[str, Resolved], drivers: Mapping[str, Driver]
) -> Iterator[Diagnostic]:
    driver, resolved = drivers[tier.driver], tiers[tier.name]
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
    try:
        findings = list(driver.lint(tier, work))
        driver.footprint(tier, work)
        below = [driver.level_work(tier, work, number) for number in range(len(tier.levels))]
    except Exception as error:  # third-party code may raise anything, and it must not take the scenario down
        yield failed(tier.driver, error, resolved.span)
        return
    for finding in findings:
        of_pattern = finding.setting not in resolved.found and finding.setting in pattern.found
        yield to_diagnostic(finding, (pattern if of_pattern else resolved).span_of(finding.setting))
    for level, level_work in zip(tier.levels, below, strict=True):
        yield from _ask_each(level, level_work, pattern, tiers, drivers)
