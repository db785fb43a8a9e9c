"""Which value a path has at a point. Values bind late: `--set`, axis, the sweep's `=`, the block, its base, the
default.

A sweep with its bases and the pins is first laid out flat: what it fixes and what it varies, by path. A point is then a
choice of one row for each axis that its values ask for, and only for those: the axes that a point does not reach never
multiply it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

import attrs

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import Span
from kvscen.language.order import Cycle, names_in, needed_first
from kvscen.language.resolve import Reading, ScopeNames, Universe, axis_rows, read_value
from kvscen.language.scenario import Assigned, AxisDef, Scenario, SweepDef
from kvscen.language.schema import SettingType
from kvscen.language.sealed import Sealed, Unchosen
from kvscen.language.values import Value
from kvscen.plan.pins import Pin


@attrs.frozen(eq=False)
class Axis:
    """What varies together: the keys of its paths, and rows of one value for each."""

    keys: tuple[str, ...]
    rows: tuple[tuple[Reading, ...], ...]
    row_spans: tuple[Span, ...]
    key_spans: tuple[Span, ...]


@attrs.frozen(eq=False)
class Flat:
    """A sweep with its bases and the pins. A key of `fixed` is never one of an axis, nor of `pins`; the sweep's own
    settings are keyed by their bare names, in `fixed` even where they are pinned."""

    sweep: SweepDef
    levels: tuple[SweepDef, ...]
    pins: Mapping[str, Pin]
    fixed: Mapping[str, Assigned | Pin]
    axes: tuple[Axis, ...]
    axis_of: Mapping[str, tuple[int, int]]


@attrs.define
class Trace:
    """What an evaluation asked for: keys of pins, axes and fixed paths, and the `let`s with their values."""

    used: set[str] = attrs.field(factory=set)
    lets: dict[str, Value] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Found:
    """The value of a path. `span` is where it is written (None: a default). `answers` are the paths that it is the
    value of: the block's own and those of the bases that were asked on the way. `by` is the statement or pin that gave
    it."""

    reading: Reading
    span: Span | None
    answers: tuple[str, ...]
    trace: Trace
    by: Assigned | Pin | None = None


def flatten(scenario: Scenario, universe: Universe, sweep: SweepDef, pins: Mapping[str, Pin]) -> Flat:
    """Lay out a sweep: a derived one's `=` or axis of a path replaces its base's, and a pin replaces both.

    An axis of the same paths as one of the base's takes its place; all others follow the base's, as they are written.
    What is replaced of an axis of several paths leaves the others varying, row by row.
    """
    levels = tuple(scenario.sweeps[name] for name in sweep.chain)
    fixed: dict[str, Assigned | Pin] = {}
    varied: list[tuple[AxisDef, tuple[str, ...]]] = []
    for level in reversed(levels):
        own = {frozenset(axis.keys): (axis, axis.keys) for axis in level.axes}
        pinned = {key: pin for name, pin in pins.items() if (key := name.removeprefix(f"{level.name}.")) != name}
        given = {*level.assigned, *pinned, *(key for keys in own for key in keys)}
        fixed = {**{key: item for key, item in fixed.items() if key not in given}, **level.assigned, **pinned}
        varied = [own.pop(frozenset(left), (axis, _left(left, given))) for axis, left in varied]
        varied = [(axis, _left(keys, pinned)) for axis, keys in (*varied, *own.values())]
    fixed = {key: item for key, item in fixed.items() if key not in pins}
    varied = [(axis, keys) for axis, left in varied if (keys := _left(left, pins))]
    names = _fixed_names(scenario, universe, fixed, pins, {key for _, keys in varied for key in keys})
    axes = tuple(_axis(axis, keys, names) for axis, keys in varied)
    axis_of = {key: (i, j) for i, axis in enumerate(axes) for j, key in enumerate(axis.keys)}
    return Flat(sweep, levels, pins, fixed, axes, axis_of)


def _left(keys: tuple[str, ...], gone: Container[str]) -> tuple[str, ...]:
    return tuple(key for key in keys if key not in gone)


def _axis(axis: AxisDef, keys: tuple[str, ...], names: ScopeNames) -> Axis:
    rows = axis_rows(axis.values, axis.targets, names)
    columns = [i for i, target in enumerate(axis.targets) if target.key in keys]
    return Axis(
        tuple(axis.targets[i].key for i in columns),
        tuple(tuple(readings[i] for i in columns) for readings, _ in rows),
        tuple(span for _, span in rows),
        tuple(axis.path_spans[i] for i in columns),
    )


def _fixed_names(
    scenario: Scenario,
    universe: Universe,
    fixed: Mapping[str, Assigned | Pin],
    pins: Mapping[str, Pin],
    varied: set[str],
) -> ScopeNames:
    """Names as the values of an axis see them: with the `let`s that the sweep or a pin fixes, and none that varies."""

    known: dict[str, Value] = {}

    def value_of(name: str) -> Value:
        try:
            for step in needed_first(name, needs, known.__contains__):
                known[step] = find(step)
        except Cycle as cycle:
            raise cycle.problem(scenario.lets[name].span) from None
        return known[name]

    def needs(name: str) -> Iterator[str]:
        given = pins.get(name) or fixed.get(name)
        if isinstance(given, Pin) or name in varied:
            return iter(())
        expr = given.expr if given is not None else scenario.lets[name].expr
        return (other for other in names_in(expr) if other in scenario.lets)

    def find(name: str) -> Value:
        if name in varied:
            raise problem(
                "KVS118",
                f"the values of an axis use `{name}`, which varies itself",
                scenario.lets[name].span,
                help="vary both together: `(a, b) in [(1, 2), ...]`",
            )
        given = pins.get(name) or fixed.get(name)
        if isinstance(given, Pin):
            return given.reading.value
        if given is not None:
            return read_value(given.expr, given.target.type, names).value
        return read_value(scenario.lets[name].expr, scenario.lets[name].type, names).value

    names = ScopeNames(universe, value_of)
    return names


@attrs.frozen(eq=False)
class Late:
    """Looks up paths for the points of one flat sweep. `choice` maps axes to rows, as far as they are chosen. Of the
    axes in `sealable` that have no row yet the values are sealed."""

    scenario: Scenario
    universe: Universe
    flat: Flat
    sealable: frozenset[int] = frozenset()
    _let_axes: dict[str, tuple[int, ...]] = attrs.field(factory=dict)
    _let_values: dict[tuple[str, tuple[int, ...]], tuple[Value, Trace]] = attrs.field(factory=dict)
    _everywhere: dict[tuple[str, str], Found | None] = attrs.field(factory=dict)
    _compared: dict[int, Any] = attrs.field(factory=dict)

    def value(self, block: str | None, setting: str, kind: SettingType, choice: Mapping[int, int]) -> Found | None:
        """The value of a block's setting, of the sweep's own where `block` is None; None: nothing gives one. What
        follows no axis is read once."""
        key = (block or "", setting)
        if key in self._everywhere:
            return self._everywhere[key]
        found = self._own(setting, kind, choice) if block is None else self._of_block(block, setting, kind, choice)
        if found is None or self.flat.axis_of.keys().isdisjoint(found.trace.used):
            self._everywhere[key] = found
        return found

    def _own(self, setting: str, kind: SettingType, choice: Mapping[int, int]) -> Found | None:
        return self._given((setting,), setting, kind, choice)

    def _of_block(self, block: str, setting: str, kind: SettingType, choice: Mapping[int, int]) -> Found | None:
        asked: tuple[str, ...] = ()
        for level in self.scenario.blocks[block].chain:
            key = f"{level}.{setting}"
            asked = (*asked, key)
            found = self._given(asked, key, kind, choice)
            if found is not None:
                return found
            written = self.scenario.blocks[level].settings.get(setting)
            if written is not None:
                trace = Trace()
                return Found(self._read(written.expr, kind, choice, trace), written.expr.span, asked, trace, written)
        return None

    def _given(self, asked: tuple[str, ...], key: str, kind: SettingType, choice: Mapping[int, int]) -> Found | None:
        """What a pin, an axis or the sweep gives a path."""
        given = self.flat.pins.get(key) or self.flat.fixed.get(key)
        if isinstance(given, Pin):
            return Found(given.reading, given.span, asked, Trace({given.key}), given)
        if given is not None:
            trace = Trace({key})
            return Found(self._read(given.expr, kind, choice, trace), given.expr.span, asked, trace, given)
        if key in self.flat.axis_of:
            index, column = self.flat.axis_of[key]
            axis, row = self.flat.axes[index], choice.get(index)
            if row is None:
                if index not in self.sealable:
                    raise Unchosen(index)
                sealed: Any = Sealed(index, key, type(axis.rows[0][column].python))
                return Found(Reading(sealed, sealed), axis.row_spans[0], asked, Trace({key}))
            return Found(axis.rows[row][column], axis.row_spans[row], asked, Trace({key}))
        return None

    def _read(self, expr: syntax.Expr, kind: SettingType, choice: Mapping[int, int], trace: Trace) -> Reading:
        return read_value(expr, kind, self.names(choice, trace))

    def compared(self, expr: syntax.Expr, kind: SettingType, choice: Mapping[int, int]) -> Any | None:
        """The value that a condition compares with, at a point; None where it depends on an axis that the point does
        not reach."""
        known = self._compared.get(id(expr))
        if known is not None:
            return known
        trace = Trace()
        try:
            value = self._read(expr, kind, choice, trace).python
        except Unchosen:
            return None
        if self.flat.axis_of.keys().isdisjoint(trace.used):
            self._compared[id(expr)] = value  # the scenario keeps the expression
        return value

    def names(self, choice: Mapping[int, int], trace: Trace) -> ScopeNames:
        """Names with the `let`s as they are at the chosen point; what they ask for goes into `trace`."""
        return ScopeNames(self.universe, lambda name: self._let(name, choice, trace))

    def _let(self, name: str, choice: Mapping[int, int], trace: Trace) -> Value:
        """The value of a `let`. It is computed once for each choice of the axes that it follows, which are always the
        same."""
        try:
            for step in needed_first(name, self._needs, lambda other: self._known_let(other, choice) is not None):
                value, own = self._find_let(step, choice)
                axes = tuple(sorted({self.flat.axis_of[key][0] for key in own.used if key in self.flat.axis_of}))
                self._let_axes[step] = axes
                self._let_values[step, tuple(choice[axis] for axis in axes)] = value, own
        except Cycle as cycle:
            raise cycle.problem(self.scenario.lets[name].span) from None
        known = self._known_let(name, choice)
        assert known is not None, "just computed"
        value, own = known
        trace.used |= own.used
        trace.lets.update(own.lets)
        return value

    def _known_let(self, name: str, choice: Mapping[int, int]) -> tuple[Value, Trace] | None:
        axes = self._let_axes.get(name)
        if axes is None or not all(axis in choice for axis in axes):
            return None
        return self._let_values.get((name, tuple(choice[axis] for axis in axes)))

    def _needs(self, name: str) -> Iterator[str]:
        """The `let`s that a `let`'s value is made of."""
        given = self.flat.pins.get(name) or self.flat.fixed.get(name)
        if isinstance(given, Pin) or name in self.flat.axis_of:
            return iter(())
        expr = given.expr if given is not None else self.scenario.lets[name].expr
        return (other for other in names_in(expr) if other in self.scenario.lets)

    def _find_let(self, name: str, choice: Mapping[int, int]) -> tuple[Value, Trace]:
        definition, trace = self.scenario.lets[name], Trace()
        found = self._given((name,), name, definition.type, choice)
        if found is not None:
            trace = Trace(set(found.trace.used), dict(found.trace.lets))
            value = found.reading.value
        else:
            value = self._read(definition.expr, definition.type, choice, trace).value
        trace.lets[name] = value
        return value, trace
