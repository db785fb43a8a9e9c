"""From a scenario to its plan: the points of its sweeps, in order, equal ones merged, with everything that running them
needs.

Axes are crossed on demand: a point is resolved with the rows chosen so far, and where a value asks for an axis that has
no row yet, the search branches there. So the axes that a point does not reach cost nothing, and nothing holds all raw
combinations. Points come in the order of the axes as they are written, the first one slowest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.language.bind import expectation_value
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.resolve import universe_of
from kvscen.language.scenario import Assigned, Scenario, SweepDef
from kvscen.language.suggest import did_you_mean, listed
from kvscen.language.values import Value, format_value
from kvscen.plan.condition import holds
from kvscen.plan.identity import point_id
from kvscen.plan.late import Flat, Late, Trace, Unchosen, flatten
from kvscen.plan.pins import Pin, read_pins
from kvscen.plan.point import Expectation, Plan, Point, Skipped
from kvscen.plan.reach import Reached, reach
from kvscen.plan.resolve import Resolver

#: Points of one sweep before and after merging; beyond that a scenario is a mistake.
MOST_POINTS = 100_000
#: Different problems in the points of one sweep before the search for more is given up.
MOST_PROBLEMS = 50


@attrs.frozen(eq=False)
class Expanded:
    """What became of a scenario. `plan` is None where there is an error."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def make_plan(scenario: Scenario, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Plan:
    """The plan of the named sweeps (none: all that run), with `path=value` pins. Raises ScenarioError with every
    problem found."""
    expanded = expand(scenario, pins, sweeps)
    if expanded.plan is None:
        raise ScenarioError(expanded.diagnostics)
    return expanded.plan


def expand(scenario: Scenario, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Expanded:
    """Like make_plan, with the warnings, and without raising."""
    universe = universe_of(scenario)
    try:
        read = read_pins(scenario, universe, pins)
        chosen = _chosen(scenario, sweeps, read)
    except ScenarioError as error:
        return Expanded(None, error.diagnostics)
    points: list[Point] = []
    skipped: list[Skipped] = []
    found: list[Diagnostic] = []
    used: set[str] = set()
    for sweep in chosen:
        try:
            flat = flatten(scenario, universe, sweep, read)
        except ScenarioError as error:
            found += error.diagnostics
            continue
        part = _Sweep(sweep, flat, Late(scenario, universe, flat))
        part.expand(len(points))
        points += part.points
        skipped += part.skipped
        found += part.found
        used |= part.used
    if not has_errors(found):
        found += _idle_pins(read, used)
    if not has_errors(found) and not points:
        found.append(_all_skipped(chosen))
    if has_errors(found):
        return Expanded(None, tuple(found))
    shown = tuple((pin.key, pin.shown) for pin in read.values())
    return Expanded(Plan(scenario.name, scenario.files, shown, tuple(points), tuple(skipped)), tuple(found))


def _chosen(scenario: Scenario, names: Sequence[str], pins: Mapping[str, Pin]) -> list[SweepDef]:
    """The sweeps to run, in the order of the file."""
    unknown = [name for name in names if name not in scenario.runs]
    if unknown:
        raise ScenarioError(
            diagnostic(
                "KVS123",
                f"`{name}` is a sweep of another file, which does not run"
                if name in scenario.sweeps
                else f"no sweep is called `{name}`",
                help=did_you_mean(name, scenario.runs, f"the sweeps are {listed(scenario.runs)}"),
            )
            for name in unknown
        )
    if names:
        return [scenario.sweeps[name] for name in scenario.runs if name in names]
    return [
        sweep for sweep in map(scenario.sweeps.__getitem__, scenario.runs) if not _is_base_only(scenario, sweep, pins)
    ]


def _is_base_only(scenario: Scenario, sweep: SweepDef, pins: Mapping[str, Pin]) -> bool:
    """A sweep that names no pattern or no tier and is the base of another one is there to be derived from; it does not
    run."""
    if all(
        scenario.writes(sweep.name, setting) or any(f"{level}.{setting}" in pins for level in sweep.chain)
        for setting in ("pattern", "tier")
    ):
        return False
    return any(sweep.name in other.chain[1:] for other in scenario.sweeps.values())


def _idle_pins(pins: Mapping[str, Pin], used: set[str]) -> list[Diagnostic]:
    return [
        diagnostic(
            "KVS124",
            f"`--set {pin.key}` changes nothing: no point takes this setting from there",
            pin.span,
            help="set what the points reach: `kvscen plan` lists their tiers and patterns",
        )
        for pin in pins.values()
        if pin.key not in used
    ]


def _all_skipped(sweeps: Sequence[SweepDef]) -> Diagnostic:
    spans = [skip.span for sweep in sweeps for skip in sweep.skips]
    return diagnostic(
        "KVS126",
        "every point is skipped",
        spans[0] if spans else None,
        help="let the conditions after `skip when` spare some",
    )


@attrs.define
class _Sweep:
    """Expands one sweep."""

    sweep: SweepDef
    flat: Flat
    late: Late
    points: list[Point] = attrs.field(factory=list)
    skipped: list[Skipped] = attrs.field(factory=list)
    found: list[Diagnostic] = attrs.field(factory=list)
    used: set[str] = attrs.field(factory=set)
    _kept: set[Assigned | Pin] = attrs.field(factory=set)
    _dropped: set[Assigned | Pin] = attrs.field(factory=set)
    _said: set[tuple[str, str, Span | None]] = attrs.field(factory=set)

    def expand(self, first_index: int) -> None:
        reached = self._search()
        if not has_errors(self.found):
            self._unreached_axes()
        if has_errors(self.found):
            return
        self._judge(reached, first_index)
        self._idle_statements()

    def _say(self, diagnostics: Sequence[Diagnostic], where: str) -> None:
        for item in diagnostics:
            key = (item.code, item.message, item.span)
            if key not in self._said:
                self._said.add(key)
                self.found.append(attrs.evolve(item, label=where) if where and not item.label else item)

    # ---- the search

    def _search(self) -> list[tuple[Reached, dict[int, int]]]:
        """Every point once, in order, with the choice that leads to it."""
        resolver = Resolver(self.late)
        leaves: list[tuple[tuple[int, ...], Reached, dict[int, int]]] = []
        open_choices: list[dict[int, int]] = [{}]
        while open_choices:
            choice = open_choices.pop()
            try:
                point = reach(resolver, self.late, choice)
            except Unchosen as unchosen:
                rows = range(len(self.flat.axes[unchosen.axis].rows))
                open_choices.extend({**choice, unchosen.axis: row} for row in reversed(rows))
                continue
            except ScenarioError as error:
                self._say(error.diagnostics, self._place(choice))
                if len(self.found) >= MOST_PROBLEMS:
                    break
                continue
            self._say(point.warnings, self._place(choice))
            self.used |= point.used
            self._kept |= point.kept
            self._dropped |= point.dropped
            leaves.append((tuple(choice.get(axis, 0) for axis in range(len(self.flat.axes))), point, choice))
            if len(leaves) > MOST_POINTS:
                self._say([self._too_many()], "")
                break
        leaves.sort(key=lambda leaf: leaf[0])
        merged: dict[str, tuple[Reached, dict[int, int]]] = {}
        for _, point, choice in leaves:
            merged.setdefault(self._id(point), (point, choice))
        return list(merged.values())

    def _too_many(self) -> Diagnostic:
        return diagnostic(
            "KVS107",
            f"the sweep `{self.sweep.name}` has more than {MOST_POINTS} points",
            self.sweep.span,
            help="vary less, or in coarser steps",
        )

    def _place(self, choice: Mapping[int, int]) -> str:
        """Which point a problem was found at."""
        parts = [
            f"{key} = {format_value(reading.value)}"
            for axis, row in sorted(choice.items())
            for key, reading in zip(self.flat.axes[axis].keys, self.flat.axes[axis].rows[row], strict=True)
        ]
        return f"at {', '.join(parts)}" if parts else ""

    def _id(self, point: Reached) -> str:
        varied = {
            setting: text
            for setting, text in point.own.shown.items()
            if setting not in ("pattern", "tier")
            and setting in point.own.found
            and any(key in self.flat.axis_of for key in point.own.found[setting].trace.used)
        }
        return point_id(self.sweep.name, varied, point.blocks)

    # ---- after the search

    def _unreached_axes(self) -> None:
        for axis in self.flat.axes:
            for key, span in zip(axis.keys, axis.key_spans, strict=True):
                if key not in self.used:
                    self._say(
                        [
                            diagnostic(
                                "KVS119",
                                f"varying `{key}` changes no point of the sweep `{self.sweep.name}`",
                                span,
                                help="vary a setting that the points take from here, or take the axis out",
                            )
                        ],
                        "",
                    )

    def _judge(self, reached: Sequence[tuple[Reached, dict[int, int]]], index: int) -> None:
        """Skip points, and give the others their expectations."""
        skips = [skip for level in reversed(self.flat.levels) for skip in level.skips]
        expects = [expect for level in reversed(self.flat.levels) for expect in level.expects]
        idle: dict[int, Span] = {id(skip): skip.span for skip in self.sweep.skips}
        idle.update({id(expect): expect.span for expect in self.sweep.expects})
        for point, choice in reached:
            identity, axes = self._id(point), self._axes(point, choice)
            hit = next((skip for skip in skips if holds(skip.condition, point.answers, self.late, choice)), None)
            if hit is not None:
                idle.pop(id(hit), None)
                text = hit.span.text.removeprefix("skip").strip().removeprefix("when").strip()
                self.skipped.append(Skipped(identity, self.sweep.name, axes, " ".join(text.split())))
                continue
            expectations = []
            for expect in expects:
                if expect.when is None or holds(expect.when, point.answers, self.late, choice):
                    idle.pop(id(expect), None)
                    names = self.late.names(choice, Trace())
                    try:
                        value = expectation_value(expect.value, expect.info, names)
                    except Unchosen:
                        continue
                    text = " ".join(expect.span.text.split())
                    expectations.append(Expectation(expect.measure, expect.operator, value, text))
            self.points.append(
                Point(
                    identity,
                    index + len(self.points),
                    self.sweep.name,
                    axes,
                    point.pattern_block,
                    point.tier,
                    point.model_block,
                    point.own.settings,
                    point.work,
                    tuple(expectations),
                )
            )
        for span in idle.values():
            self._say(
                [diagnostic("KVS125", "this applies to no point", span, help="correct its condition, or take it out")],
                "",
            )

    def _axes(self, point: Reached, choice: Mapping[int, int]) -> dict[str, Value]:
        return {
            key: self.flat.axes[i].rows[choice[i]][j].value
            for i, axis in enumerate(self.flat.axes)
            for j, key in enumerate(axis.keys)
            if key in point.used
        }

    def _idle_statements(self) -> None:
        """Settings that were written and count nowhere."""
        for key, given in self.flat.fixed.items():
            if isinstance(given, Assigned) and key not in self.used and self.sweep.assigned.get(key) is given:
                self._dropped.add(given)
        for item in self._dropped - self._kept:
            if isinstance(item, Assigned):
                self._say(
                    [
                        diagnostic(
                            "KVS125",
                            f"`{item.target.key}` has no effect in any point of the sweep `{self.sweep.name}`",
                            item.span,
                            help="take it out, or add the setting that gives it a meaning",
                        )
                    ],
                    "",
                )
