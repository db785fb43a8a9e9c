"""The points of one sweep, each once and in order.

Axes are crossed on demand: a point is resolved with the rows chosen so far, and where a value asks for an axis that has
no row yet, the search branches there. So the axes that a point does not reach cost nothing, and nothing holds all raw
combinations. Points come in the order of the axes as they are written, the first one slowest; of points that come out
equal the first stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.scenario import Assigned
from kvscen.language.values import Value, format_value
from kvscen.plan import matrices, traces
from kvscen.plan.identity import point_id
from kvscen.plan.late import Flat, Late, Unchosen
from kvscen.plan.pins import Pin
from kvscen.plan.reach import Reached, reach
from kvscen.plan.resolve import Resolver

#: Points of one sweep before merging; beyond that a scenario is a mistake.
MOST_POINTS = 100_000
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
        return {
            key: flat.axes[i].rows[self.choice[i]][j].value
            for i, axis in enumerate(flat.axes)
            for j, key in enumerate(axis.keys)
            if key in self.point.used
        }

    def place(self, flat: Flat) -> str:
        return place(flat, self.choice)


@attrs.define
class Said:
    """Diagnostics, each once however many points have it; the first point that has it is named."""

    diagnostics: list[Diagnostic] = attrs.field(factory=list)
    _seen: set[tuple[str, str, Span | None]] = attrs.field(factory=set)

    def say(self, found: Iterable[Diagnostic], where: str = "") -> None:
        for item in found:
            key = (item.code, item.message, item.span)
            if key not in self._seen:
                self._seen.add(key)
                self.diagnostics.append(attrs.evolve(item, label=where) if where and not item.label else item)


@attrs.frozen(eq=False)
class Search:
    """What was found: the points, and what is wrong. `used` are the keys of axes, pins and settings that some point
    uses."""

    leaves: tuple[Leaf, ...]
    used: frozenset[str]
    diagnostics: tuple[Diagnostic, ...]


def place(flat: Flat, choice: Mapping[int, int]) -> str:
    """Which point a problem was found at."""
    parts = [
        f"{key} = {format_value(reading.value)}"
        for axis, row in sorted(choice.items())
        for key, reading in zip(flat.axes[axis].keys, flat.axes[axis].rows[row], strict=True)
    ]
    return f"at {', '.join(parts)}" if parts else ""


def search_points(late: Late) -> Search:
    """Every point of the sweep."""
    flat, resolver, said = late.flat, Resolver(late), Said()
    found: list[tuple[tuple[int, ...], Leaf]] = []
    used: set[str] = set()
    kept: set[Assigned | Pin] = set()
    dropped: set[Assigned | Pin] = set()
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
        used |= point.used
        kept |= point.kept
        dropped |= point.dropped
        order = tuple(choice.get(axis, 0) for axis in range(len(flat.axes)))
        found.append((order, Leaf(_identity(flat, point), point, choice)))
        if len(found) > MOST_POINTS:
            said.say([_too_many(flat)])
            break
    if not has_errors(said.diagnostics):
        said.say(_unreached(flat, used))
    if not has_errors(said.diagnostics):
        said.say(_idle(flat, used, kept, dropped))
    found.sort(key=lambda item: item[0])
    merged: dict[str, Leaf] = {}
    for _, leaf in found:
        merged.setdefault(leaf.id, leaf)
    return Search(tuple(merged.values()), frozenset(used), tuple(said.diagnostics))


def _identity(flat: Flat, point: Reached) -> str:
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
        f"the sweep `{flat.sweep.name}` has more than {MOST_POINTS} points",
        flat.sweep.span,
        help="vary less, or in coarser steps",
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
