"""The points of one sweep, each once and in order.

Axes are crossed on demand: a point is resolved with the rows chosen so far, and where a value asks for an axis that has
no row yet, the search branches there. So the axes that a point does not reach cost nothing, and nothing holds all raw
combinations. Of a sweep that may have very many points the boxes are searched instead (kvscen.plan.grid). Points come
in the order of the axes as they are written, the first one slowest; of points that come out equal the first stays.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, has_errors
from kvscen.language.scenario import Assigned
from kvscen.language.sealed import Unchosen
from kvscen.language.values import UNITS, Value, format_value
from kvscen.plan import matrices, traces
from kvscen.plan.grid import MOST_BOXES, MOST_PLANNED, Grid, TooMany, boxes_of, lay_out, sealable
from kvscen.plan.identity import point_id
from kvscen.plan.late import Flat, Late
from kvscen.plan.pins import Pin
from kvscen.plan.reach import Reached, reach
from kvscen.plan.resolve import Resolver

#: Different problems in the points of one sweep before the search for more is given up.
MOST_PROBLEMS = 50


@attrs.frozen(eq=False)
class Leaf:
    """A point, its identity, and the row of each axis that it asked for."""

    id: str
    point: Reached
    choice: Mapping[int, int]

    def axes(self, flat: Flat) -> dict[str, Value]:
        """The values of the axes that the point reaches, in the order of the sweep."""
        used = self.point.used
        return {
            key: flat.axes[i].rows[self.choice[i]][j].value
            for i, axis in enumerate(flat.axes)
            for j, key in enumerate(axis.keys)
            if key in used
        }

    def place(self, flat: Flat) -> str:
        return place(flat, self.choice)


@attrs.define
class Said:
    """Diagnostics, each once however many points have it, be it with other figures: named are the points, by the values
    of their axes, or the first one and how many more there are. `every`: all points are looked at."""

    every: bool = True
    _first: dict[tuple[object, ...], tuple[Diagnostic, str]] = attrs.field(factory=dict)
    _places: dict[tuple[object, ...], dict[str, str]] = attrs.field(factory=dict)

    def say(self, found: Iterable[Diagnostic], where: str = "") -> None:
        for item in found:
            alike = (item.code, _FIGURES.sub("#", item.message), item.span)
            # Two at the same place that differ in their figures are two: the first is alike the others' first.
            key = next(
                key
                for key in ((*alike, number) for number in itertools.count())
                if self._places.get(key, {}).get(where, item.message) == item.message
            )
            self._first.setdefault(key, (item, where))
            self._places.setdefault(key, {})[where] = item.message

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return [_at(item, where, [*self._places[key]], self.every) for key, (item, where) in self._first.items()]


#: A number of a message, with its unit; not one within a name.
_FIGURES = re.compile(rf"(?<!\w)\d[\d,._]*(?: (?:{'|'.join(map(re.escape, UNITS))})(?!\w))?")


#: Values of an axis that are named one by one.
_FEW = 8


def _at(item: Diagnostic, where: str, places: list[str], every: bool) -> Diagnostic:
    if not where or item.label:
        return item
    if len(places) > 1:
        if not every:
            where += ", and more like it"
        else:
            where = _together(places) or f"{where}, and {len(places) - 1:,} more like it"
    return attrs.evolve(item, label=where)


def _together(places: Sequence[str]) -> str | None:
    """All as one, `at tier = disk, pages.batch in [64, 128]`, where they are few values of each axis, crossed."""
    parts = [[part.partition(" = ") for part in place.split(", ")] for place in places]
    names = [name for name, _, _ in parts[0]]
    if any([name for name, _, _ in each] != names or not all(mark for _, mark, _ in each) for each in parts):
        return None
    values = [list(dict.fromkeys(each[i][2] for each in parts)) for i in range(len(names))]
    if math.prod(map(len, values)) != len(places) or max(map(len, values)) > _FEW:
        return None
    return ", ".join(
        f"{name} = {several[0]}" if len(several) == 1 else f"{name} in [{', '.join(several)}]"
        for name, several in zip(names, values, strict=True)
    )


@attrs.frozen(eq=False)
class Search:
    """What was found: the points, and what is wrong. `used` are the keys of axes, pins and settings that some point
    uses. Of more points than can be held there is the `grid`, and no leaf."""

    leaves: tuple[Leaf, ...]
    used: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]
    grid: Grid | None = None


def place(flat: Flat, choice: Mapping[int, int]) -> str:
    """Which point a problem was found at."""
    parts = [
        f"{key} = {format_value(reading.value)}"
        for axis, row in sorted(choice.items())
        for key, reading in zip(flat.axes[axis].keys, flat.axes[axis].rows[row], strict=True)
    ]
    return f"at {', '.join(parts)}" if parts else ""


@attrs.define
class _Counts:
    """What counts somewhere: keys of axes, pins and settings, and the statements whose value does, or does not."""

    used: set[str] = attrs.field(factory=set)
    kept: set[Assigned | Pin] = attrs.field(factory=set)
    dropped: set[Assigned | Pin] = attrs.field(factory=set)

    def add(self, point: Reached) -> None:
        self.used |= point.used
        self.kept |= point.kept
        self.dropped |= point.dropped

    def say_idle(self, flat: Flat, said: Said) -> None:
        if not has_errors(said.diagnostics):
            said.say(_unreached(flat, self.used))
        if not has_errors(said.diagnostics):
            said.say(_idle(flat, self.used, self.kept, self.dropped))


def search_points(late: Late, most: int) -> Search:
    """Every point of the sweep, one by one, or its grid where there are more than `most`."""
    if math.prod(len(axis.rows) for axis in late.flat.axes) > most:
        return _search_grid(late, most)
    flat, resolver, said, counts = late.flat, Resolver(late), Said(), _Counts()
    found: list[tuple[tuple[int, ...], Leaf]] = []
    open_choices: list[dict[int, int]] = [{}]
    while open_choices and len(said.diagnostics) < MOST_PROBLEMS:
        choice = open_choices.pop()
        try:
            point = reach(resolver, late, choice)
        except Unchosen as unchosen:
            rows = range(len(flat.axes[unchosen.axis].rows))
            open_choices.extend({**choice, unchosen.axis: row} for row in reversed(rows))
            continue
        except ScenarioError as error:
            said.say(error.diagnostics, place(flat, choice))
            continue
        counts.add(point)
        order = tuple(choice.get(axis, 0) for axis in range(len(flat.axes)))
        found.append((order, Leaf(identity(flat, point), point, choice)))
    counts.say_idle(flat, said)
    found.sort(key=lambda item: item[0])
    merged: dict[str, Leaf] = {}
    for _, leaf in found:
        merged.setdefault(leaf.id, leaf)
    return Search(tuple(merged.values()), frozenset(counts.used), tuple(said.diagnostics))


def _search_grid(late: Late, most: int) -> Search:
    """Of a sweep whose axes, all crossed, have more combinations than `most`."""
    flat, plain, said, counts = late.flat, Resolver(late), Said(every=False), _Counts()

    def failed(choice: Mapping[int, int], error: ScenarioError) -> bool:
        """Says what is wrong with the first point of a choice, if that has a problem at all."""
        found = _first_problem(plain, choice)
        if found is None:
            return False
        said.say(found[1].diagnostics, place(flat, found[0]))
        if len(said.diagnostics) >= MOST_PROBLEMS:
            raise TooMany
        return [item.message for item in found[1].diagnostics] == [item.message for item in error.diagnostics]

    sealed = Resolver(attrs.evolve(late, sealable=sealable(flat)))
    try:
        boxes = list(boxes_of(sealed, lambda point: identity(flat, point), failed))
        for box in boxes:
            counts.add(box.point)
        counts.say_idle(flat, said)
        grid = lay_out(flat, boxes)
    except TooMany:
        if not has_errors(said.diagnostics):
            said.say([_too_many(flat)])
        return Search((), frozenset(counts.used), tuple(said.diagnostics))
    leaves: tuple[Leaf, ...] = ()
    if len(grid) <= most:
        leaves = tuple(leaf_of(plain, grid.choice(index)) for index in range(len(grid)))
    return Search(leaves, frozenset(counts.used), tuple(said.diagnostics), grid if len(grid) > most else None)


def leaf_of(resolver: Resolver, choice: Mapping[int, int]) -> Leaf:
    """The point of a choice that has a row for every axis that it asks for."""
    point = reach(resolver, resolver.late, choice)
    return Leaf(identity(resolver.late.flat, point), point, choice)


def _first_problem(resolver: Resolver, choice: Mapping[int, int]) -> tuple[Mapping[int, int], ScenarioError] | None:
    """The problem of the first point of a choice, with the rows that it asked for before; None where it has none."""
    asked: dict[int, int] = {}
    while True:
        try:
            reach(resolver, resolver.late, asked)
            return None
        except Unchosen as unchosen:
            asked = {**asked, unchosen.axis: choice.get(unchosen.axis, 0)}
        except ScenarioError as error:
            return asked, error


def identity(flat: Flat, point: Reached) -> str:
    varied = {
        setting: text
        for setting, text in point.own.shown.items()
        if setting not in ("pattern", "tier")
        and setting in point.own.found
        and any(key in flat.axis_of for key in point.own.found[setting].trace.used)
    }
    return point_id(
        flat.sweep.name,
        varied,
        point.blocks,
        (*matrices.digest(point.matrices), *traces.digest(point.trace, point.turns)),
    )


def _too_many(flat: Flat) -> Diagnostic:
    return diagnostic(
        "KVS107",
        f"the sweep `{flat.sweep.name}` has too many points to be planned",
        flat.sweep.span,
        help=f"vary less, or in coarser steps: at most {MOST_PLANNED:,} points, "
        f"of which {MOST_BOXES:,} differ in more than numbers",
    )


def _unreached(flat: Flat, used: set[str]) -> Iterable[Diagnostic]:
    """Axes that reach no point."""
    for axis in flat.axes:
        for key, span in zip(axis.keys, axis.key_spans, strict=True):
            if key not in used:
                yield diagnostic(
                    "KVS119",
                    f"varying `{key}` changes no point of the sweep `{flat.sweep.name}`",
                    span,
                    help="vary a setting that the points take from here, or take the axis out",
                )


def _idle(flat: Flat, used: set[str], kept: set[Assigned | Pin], dropped: set[Assigned | Pin]) -> Iterable[Diagnostic]:
    """Settings that are written and count nowhere. Those of a base sweep may be meant for another one derived from
    it."""
    unused = [item for key, item in flat.fixed.items() if key not in used and flat.sweep.assigned.get(key) is item]
    for item in dict.fromkeys([*unused, *sorted(dropped - kept, key=_offset)]):
        if isinstance(item, Assigned):
            yield diagnostic(
                "KVS125",
                f"`{item.target.key}` has no effect in any point of the sweep `{flat.sweep.name}`",
                item.span,
                help="take it out, or add the setting that gives it a meaning",
            )


def _offset(item: Assigned | Pin) -> tuple[str, int]:
    return item.span.source.name, item.span.start
