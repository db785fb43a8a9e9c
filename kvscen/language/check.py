"""From a text to a checked scenario: every problem that can be seen without making the points, all in one go.

What depends on the point (a required setting that is missing, settings that exclude each other, sizes) is found when
the points are made: kvscen.plan.expand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import attrs

from kvscen.language import syntax
from kvscen.language.bind import bind_sweep, check_assigned
from kvscen.language.codes import diagnostic
from kvscen.language.define import Definitions, define
from kvscen.language.diagnose import Diagnostic, ScenarioError, Source, has_errors
from kvscen.language.evaluate import evaluate, nested_too_deeply
from kvscen.language.files import read_source
from kvscen.language.order import Cycle, names_in, needed_first
from kvscen.language.resolve import ScopeNames, Universe, all_words, broken
from kvscen.language.scenario import Assigned, BlockDef, LetDef, LetType, Scenario, SweepDef, Target
from kvscen.language.schema import settings_of
from kvscen.language.suggest import one_of
from kvscen.language.unknown import unknown_setting
from kvscen.language.use import Loaded, file_name, load
from kvscen.language.values import Symbol, Value
from kvscen.plugin.registry import Registry
from kvscen.plugin.registry import registry as installed

_ONLY_IN_SWEEPS: dict[type, str] = {
    syntax.Axis: "an axis",
    syntax.Skip: "`skip`",
    syntax.Expect: "`expect`",
    syntax.Find: "`find`",
}


@attrs.frozen(eq=False)
class Known:
    """What a text says by its names, whether it has errors or not. `lets` holds those that have a value."""

    loaded: Loaded
    definitions: Definitions
    universe: Universe
    lets: Mapping[str, LetDef]

    def names(self) -> ScopeNames:
        """Names with the values that the text itself gives them."""
        return _file_names(self.universe, self.lets)


@attrs.frozen(eq=False)
class Checked:
    """What a check found. `scenario` is None where there is an error; warnings may stand beside a scenario. `document`
    is the syntax of the scenario's own text, as far as it could be understood. `known` is None where nothing could be
    said of the text's names: it cannot be read, or is nested too deeply."""

    scenario: Scenario | None
    diagnostics: tuple[Diagnostic, ...]
    document: syntax.Document | None = None
    known: Known | None = None


def check_file(path: Path, registry: Registry | None = None) -> Checked:
    """Check a scenario file and everything that it uses."""
    source = read_source(path)
    if isinstance(source, Diagnostic):
        return Checked(None, (source,))
    return check_source(source, path.parent, registry)


def check_source(source: Source, folder: Path | None, registry: Registry | None = None) -> Checked:
    """Check a text. `folder` is what its `use "file"` is relative to; None: it cannot use files. `registry` holds the
    drivers."""
    try:
        return check_loaded(load(source, folder), registry)
    except RecursionError:
        return Checked(None, (nested_too_deeply(),))


def check_loaded(loaded: Loaded, registry: Registry | None = None) -> Checked:
    """Check what was parsed already. RecursionError: its values need each other too deeply."""
    registry = registry or installed()
    source = loaded.own.source
    definitions = define(loaded, registry)
    diagnostics = [*loaded.diagnostics, *definitions.diagnostics]
    universe, lets, found = _universe(loaded, definitions)
    diagnostics += found
    names = _file_names(universe, lets)
    blocks: dict[str, BlockDef] = {}
    for name, block in universe.blocks.items():
        settings, found = _settings(definitions.blocks[name], block, names)
        diagnostics += found
        blocks[name] = attrs.evolve(block, settings=settings)
    sweeps: dict[str, SweepDef] = {}
    for name, item in definitions.blocks.items():
        if item.kind == "sweep":
            sweep, found = bind_sweep(item, definitions.chains.get(name, (name,)), names, definitions.drivers.values())
            diagnostics += found
            sweeps[name] = sweep
    if not definitions.runs and not has_errors(diagnostics):
        diagnostics.append(_nothing_to_run(source))
    scenario = None
    if not has_errors(diagnostics):
        scenario = Scenario(
            PurePosixPath(file_name(source)).stem,
            loaded.files,
            blocks,
            lets,
            sweeps,
            definitions.runs,
            definitions.drivers,
        )
    known = Known(loaded, definitions, universe, lets)
    return Checked(scenario, tuple(_in_order(diagnostics, source)), loaded.own, known)


def _nothing_to_run(source: Source) -> Diagnostic:
    from kvscen.language.diagnose import Span

    end = len(source.text.rstrip())
    return diagnostic(
        "KVS123",
        "the file has no sweep, so there is nothing to run",
        Span(source, max(end - 1, 0), end),
        help="add `sweep NAME { pattern = ...; tier = ... }`; a file of parts is brought in with `use`",
    )


def _in_order(diagnostics: list[Diagnostic], source: Source) -> Iterator[Diagnostic]:
    """The scenario's own problems first, each file's in the order of its text; each problem once."""
    files: dict[str, int] = {source.name: 0}
    for item in diagnostics:
        if item.span:
            files.setdefault(item.span.source.name, len(files))

    def place(item: Diagnostic) -> tuple[int, int]:
        return (files[item.span.source.name], item.span.start) if item.span else (-1, 0)

    seen = set()
    for item in sorted(diagnostics, key=place):
        key = (item.code, item.message, place(item))
        if key not in seen:
            seen.add(key)
            yield item


# ---- lets and blocks


def _universe(loaded: Loaded, definitions: Definitions) -> tuple[Universe, dict[str, LetDef], list[Diagnostic]]:
    """The names of the scenario with every `let` evaluated, the sound lets, and what is wrong with the others."""
    kinds = {name: block.kind for name, block in definitions.blocks.items()}
    blocks = {
        name: BlockDef(
            block.kind,
            name,
            block.name.span,
            definitions.chains[name],
            definitions.built_ins[name].name,
            definitions.built_ins[name].declaration,
            {},
        )
        for name, block in definitions.blocks.items()
        if name in definitions.built_ins and name in definitions.chains
    }
    words = all_words(driver.settings for driver in definitions.drivers.values())
    types: dict[str, LetType | None] = dict.fromkeys(definitions.lets)
    universe = Universe(kinds, types, blocks, words, loaded.complete)
    found: list[Diagnostic] = []
    lets: dict[str, LetDef] = {}
    names = _file_names(universe, lets)
    done: set[str] = set()

    def needs(name: str) -> Iterator[str]:
        return (other for other in names_in(definitions.lets[name].value) if other in definitions.lets)

    for name in definitions.lets:
        try:
            for step in needed_first(name, needs, done.__contains__):
                done.add(step)
                item = definitions.lets[step]
                try:
                    kind = _let_type(evaluate(item.value, None, names), universe)
                except ScenarioError as error:
                    found.extend(error.diagnostics)
                else:
                    types[step] = kind
                    lets[step] = LetDef(step, item.value, item.name.span, kind)
        except Cycle as cycle:
            done.update(cycle.names)
            found.extend(cycle.problem(definitions.lets[cycle.names[0]].name.span).diagnostics)
    return universe, lets, found


def _let_type(value: Value, universe: Universe) -> LetType:
    if isinstance(value, Symbol):
        if value.name in universe.kinds:
            return LetType(value, refers_to=universe.kinds[value.name])
        return LetType(value, words=tuple(sorted(universe.words)))
    return LetType(value)


def _file_names(universe: Universe, lets: Mapping[str, LetDef]) -> ScopeNames:
    """Names with the values that the text itself gives them."""

    def value_of(name: str) -> Value:
        if name not in lets:
            raise broken()
        return lets[name].type.like

    return ScopeNames(universe, value_of)


def _settings(item: syntax.Block, block: BlockDef, names: ScopeNames) -> tuple[dict[str, Assigned], list[Diagnostic]]:
    """A block's own settings, bound and checked."""
    declared = settings_of(block.declaration)
    settings: dict[str, Assigned] = {}
    found: list[Diagnostic] = []
    for statement in item.body:
        if not isinstance(statement, syntax.Setting):
            what = _ONLY_IN_SWEEPS[type(statement)]
            found.append(
                diagnostic(
                    "KVS116",
                    f"{what} stands in sweeps only, and this is a {item.kind}",
                    statement.span,
                    help="move it to a sweep",
                )
            )
            continue
        path = statement.path
        name = path.parts[-1]
        if len(path.parts) > 1:
            found.append(
                diagnostic(
                    "KVS116",
                    f"{one_of(item.kind)} gives its own settings only",
                    path.span,
                    help=f"write `{name}`, or move `{path}` to a sweep",
                )
            )
            continue
        if name not in declared:
            found.extend(unknown_setting(name, block.kind, block.built_in, declared, path.span).diagnostics)
            continue
        info = declared[name]
        assigned = Assigned(
            Target(f"{block.name}.{name}", info.type, info, block.name), statement.value, statement.span, path.span
        )
        if name in settings:
            found.append(
                diagnostic(
                    "KVS112",
                    f"`{name}` is given twice",
                    path.span,
                    help="take one of them out",
                    related=((settings[name].path_span, "it is given here first"),),
                )
            )
        else:
            settings[name] = assigned
        found.extend(check_assigned(assigned, names))
    return settings, found
