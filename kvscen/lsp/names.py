"""Every name in a text, with what it means there: the ground of hovering, going to definitions and renaming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs

from kvscen.language import syntax
from kvscen.language.blocks import BUILT_INS
from kvscen.language.check import Known
from kvscen.language.diagnose import ScenarioError, Span
from kvscen.language.functions import BASE_FUNCTION, FUNCTIONS
from kvscen.language.resolve import OWN
from kvscen.language.scan import scan
from kvscen.language.schema import ListOf, SettingInfo, SettingType, settings_of
from kvscen.language.values import UNITS
from kvscen.lsp.analysis import Analysis
from kvscen.results.measures import MeasureInfo

#: `name`: a block or a `let`; `built_in`: a driver, family or type as a base.
Kind: TypeAlias = Literal["name", "built_in", "setting", "word", "measure", "function", "unit", "file"]


@attrs.frozen
class Occurrence:
    """One name at one place. `defines`: it is the name of the block or `let` that begins here. `owner`: of a setting
    the block that it belongs to (None: the sweep's own), of a built-in the kind of its block, of a measure its tier.
    `info` is a setting's declaration, `type` what a word is a word of, `measure` a measure's declaration, `statement`
    the setting that is given here."""

    kind: Kind
    name: str
    span: Span
    defines: bool = False
    owner: str | None = None
    info: SettingInfo | None = None
    type: SettingType | None = None
    measure: MeasureInfo | None = None
    statement: syntax.Setting | None = None


def occurrences(analysis: Analysis) -> tuple[Occurrence, ...]:
    """Of the text and of the files that it uses, in their order."""
    found = analysis.made.get(occurrences)
    if found is None:
        known = analysis.known
        found = () if known is None else tuple(_Walker(known).all(analysis))
        analysis.made[occurrences] = found
    return found


def occurrence_at(analysis: Analysis, offset: int) -> Occurrence | None:
    """The name that holds an offset of the text, or ends there."""
    if analysis.own is None or analysis.known is None:
        return None
    walker = _Walker(analysis.known)
    best: tuple[int, Occurrence] | None = None
    for item in analysis.own.document.items:
        place = analysis.own.place(item.span)
        if place is None or not place[0] <= offset <= place[1]:
            continue
        for found in walker.item(item):
            place = analysis.own.place(found.span)
            # Where two names touch, as in `a.b`, the one that begins here.
            if place is not None and place[0] <= offset <= place[1] and (best is None or place[0] >= best[0]):
                best = place[0], found
    return best[1] if best else None


def parts(path: syntax.Path) -> list[Span]:
    """Where each part of a path stands."""
    source = path.span.source
    words = scan(source.text, path.span.start, path.span.end)
    return [Span(source, word.start, word.end) for word in words if word.kind == "name"]


@attrs.frozen
class _Walker:
    known: Known

    def all(self, analysis: Analysis) -> Iterator[Occurrence]:
        for document in analysis.documents():
            for item in document.items:
                yield from self.item(item)

    def item(self, item: syntax.Item) -> Iterator[Occurrence]:
        match item:
            case syntax.Use():
                yield Occurrence("file", item.target, item.span, owner=None if item.is_file else "library")
            case syntax.Let():
                yield Occurrence("name", item.name.name, item.name.span, defines=True)
                yield from self._value(item.value, None)
            case syntax.Block():
                yield Occurrence("name", item.name.name, item.name.span, defines=True)
                yield from self._base(item)
                for statement in item.body:
                    if item.kind == "sweep":
                        yield from self._in_sweep(statement, item.name.name)
                    elif isinstance(statement, syntax.Setting):
                        yield from self._own_setting(statement, item)

    def _base(self, item: syntax.Block) -> Iterator[Occurrence]:
        base = item.base
        if isinstance(base, syntax.Call):
            yield Occurrence("function", base.function.name, base.function.span)
        elif base is not None:
            if self.known.universe.kinds.get(base.name) == item.kind:
                yield Occurrence("name", base.name, base.span)
            elif base.name.startswith(f"{item.name.name}_{BASE_FUNCTION}"):
                yield Occurrence("function", BASE_FUNCTION, base.span)
            else:
                yield Occurrence("built_in", base.name, base.span, owner=item.kind)

    def _own_setting(self, statement: syntax.Setting, item: syntax.Block) -> Iterator[Occurrence]:
        info = settings_in(self.known, item).get(statement.path.parts[-1])
        if info is not None:
            span = parts(statement.path)[-1]
            yield Occurrence("setting", info.name, span, owner=item.name.name, info=info, statement=statement)
        yield from self._value(statement.value, info.type if info else None)

    # ---- sweeps

    def _in_sweep(self, statement: syntax.Statement, sweep: str) -> Iterator[Occurrence]:
        match statement:
            case syntax.Setting():
                yield from self._path(statement.path, sweep, statement)
                yield from self._value(statement.value, self._type(statement.path, sweep))
            case syntax.Axis():
                for path in statement.paths:
                    yield from self._path(path, sweep)
                yield from self._axis(statement.values, [self._type(path, sweep) for path in statement.paths])
            case syntax.Skip():
                yield from self._condition(statement.condition, sweep)
            case syntax.Expect():
                yield from self._measure(statement.measure)
                yield from self._value(statement.value, None)
                if statement.when is not None:
                    yield from self._condition(statement.when, sweep)
            case syntax.Find():
                yield from self._path(statement.path, sweep)
                if statement.measure is not None:
                    yield from self._measure(statement.measure)
                for condition in statement.conditions:
                    yield from self._measure(condition.path)
                    yield from self._value(condition.value, None)
                if statement.share is not None:
                    yield from self._value(statement.share, None)

    def _axis(self, values: syntax.Expr, types: list[SettingType | None]) -> Iterator[Occurrence]:
        if not isinstance(values, syntax.ListExpr):
            yield from self._value(values, None)
            return
        for row in values.items:
            if len(types) > 1 and isinstance(row, syntax.TupleExpr) and len(row.items) == len(types):
                for item, kind in zip(row.items, types, strict=True):
                    yield from self._value(item, kind)
            else:
                yield from self._value(row, types[0])

    def _condition(self, condition: syntax.Condition, sweep: str) -> Iterator[Occurrence]:
        match condition:
            case syntax.Compare():
                yield from self._path(condition.path, sweep)
                yield from self._value(condition.value, self._type(condition.path, sweep))
            case syntax.Not():
                yield from self._condition(condition.item, sweep)
            case syntax.And() | syntax.Or():
                for item in condition.items:
                    yield from self._condition(item, sweep)

    def _type(self, path: syntax.Path, sweep: str) -> SettingType | None:
        try:
            return self.known.universe.target(path, sweep).type
        except ScenarioError:
            return None

    def _path(self, path: syntax.Path, sweep: str, statement: syntax.Setting | None = None) -> Iterator[Occurrence]:
        """What a path in the body of a sweep leads to."""
        first, *rest = parts(path)
        universe = self.known.universe
        if not rest:
            name = path.parts[0]
            if name in OWN:
                yield Occurrence("setting", name, first, info=OWN[name], statement=statement)
            elif name in universe.lets or name in universe.kinds:
                yield Occurrence("name", name, first)
            return
        block, name = path.parts[0], path.parts[1]
        if block not in universe.kinds:
            return
        yield Occurrence("name", block, first)
        try:
            target = universe.target(path, sweep)
        except ScenarioError:
            return
        yield Occurrence("setting", name, rest[0], owner=target.block, info=target.info, statement=statement)

    def _measure(self, path: syntax.Path) -> Iterator[Occurrence]:
        *tier, last = parts(path)
        owner = path.parts[0] if tier else None
        if owner is not None and owner in self.known.universe.kinds:
            yield Occurrence("name", owner, tier[0])
        yield Occurrence("measure", path.parts[-1], last, owner=owner, measure=measure_of(self.known, path))

    # ---- values

    def _value(self, value: syntax.Expr, target: SettingType | None) -> Iterator[Occurrence]:
        match value:
            case syntax.Name():
                yield from self._bare(value, target)
            case syntax.Number():
                if value.unit in UNITS and value.unit_span is not None:
                    yield Occurrence("unit", value.unit, value.unit_span)
            case syntax.ListExpr() | syntax.TupleExpr():
                inner = target.item if isinstance(target, ListOf) else target
                for item in value.items:
                    yield from self._value(item, inner)
            case syntax.Negate():
                yield from self._value(value.operand, None)
            case syntax.Binary():
                yield from self._value(value.left, None)
                yield from self._value(value.right, None)
            case syntax.Call():
                if value.function.name in FUNCTIONS:
                    yield Occurrence("function", value.function.name, value.function.span)
                for item in value.arguments:
                    yield from self._value(item, None)

    def _bare(self, value: syntax.Name, target: SettingType | None) -> Iterator[Occurrence]:
        """As kvscen.language.evaluate reads a bare name."""
        if len(value.path.parts) > 1:
            return
        name, universe = value.path.parts[0], self.known.universe
        kind = universe.kinds.get(name)
        if name in universe.lets or (kind is not None and (target is None or kind == target.refers_to)):
            yield Occurrence("name", name, value.span)
        elif target is not None and name in target.words:
            yield Occurrence("word", name, value.span, type=target)
        elif kind is not None:
            # Of another kind than is asked for: a mistake, and about this block all the same.
            yield Occurrence("name", name, value.span)


def settings_in(known: Known, item: syntax.Block) -> dict[str, SettingInfo]:
    """The settings that a block may have; none where its base is not known."""
    if item.kind == "sweep":
        return dict(OWN)
    declaration = declaration_of(known, item)
    return dict(settings_of(declaration)) if declaration is not None else {}


def declaration_of(known: Known, item: syntax.Block) -> type | None:
    """The class that declares the settings of a block, also where something else is wrong with the block."""
    built_in = known.definitions.built_ins.get(item.name.name)
    if built_in is not None:
        return built_in.declaration
    if isinstance(item.base, syntax.Ident):
        return BUILT_INS.get(item.kind, {}).get(item.base.name)
    return None


def measure_of(known: Known, path: syntax.Path) -> MeasureInfo | None:
    return measures(known, tier=len(path.parts) > 1).get(path.parts[-1])


def measures(known: Known, tier: bool) -> dict[str, MeasureInfo]:
    """What `expect` may name here: of a tier, or at all, with those of the drivers that the text uses."""
    from kvscen.results.measures import MEASURES, TIER_MEASURES, driver_measure

    if tier:
        return dict(TIER_MEASURES)
    found = dict(MEASURES)
    for driver in known.definitions.drivers.values():
        for measure in driver.measures:
            info = driver_measure(measure.name, measure.type, measure.unit, measure.description)
            if info is not None:
                found.setdefault(info.name, info)
    return found
