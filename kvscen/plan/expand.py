"""From a scenario to its plan: the points of its sweeps, in order, equal ones merged, with everything that running them
needs.

The points of each sweep are searched (kvscen.plan.search), then skipped or judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.language.bind import expectation_value
from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.evaluate import nested_too_deeply
from kvscen.language.format import one_line
from kvscen.language.resolve import universe_of
from kvscen.language.scenario import ExpectDef, Scenario, SkipDef, SweepDef
from kvscen.language.suggest import did_you_mean, listed
from kvscen.pattern.matrix_file import MatrixFile
from kvscen.plan.condition import holds
from kvscen.plan.find import searched
from kvscen.plan.late import Late, Trace, Unchosen, flatten
from kvscen.plan.pins import Pin, read_pins
from kvscen.plan.point import Expectation, Find, PatternBlock, Plan, Point, Skipped, UsersBlock
from kvscen.plan.reach import work_of
from kvscen.plan.search import Leaf, Said, Search, search_points


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
    try:
        return _expand(scenario, pins, sweeps)
    except RecursionError:
        return Expanded(None, (nested_too_deeply(),))


def _expand(scenario: Scenario, pins: Sequence[str], sweeps: Sequence[str]) -> Expanded:
    universe = universe_of(scenario)
    try:
        read = read_pins(scenario, universe, pins)
        chosen = _chosen(scenario, sweeps, read)
    except ScenarioError as error:
        return Expanded(None, error.diagnostics)
    points: list[Point] = []
    skipped: list[Skipped] = []
    finds: list[Find] = []
    found: list[Diagnostic] = []
    used: set[str] = set()
    named: dict[MatrixFile, None] = {}
    for sweep in chosen:
        try:
            flat = flatten(scenario, universe, sweep, read)
        except ScenarioError as error:
            found += error.diagnostics
            continue
        late = Late(scenario, universe, flat)
        search = search_points(late)
        found += search.diagnostics
        used |= search.used
        named.update(dict.fromkeys(file for leaf in search.leaves for file in leaf.point.matrices))
        if not has_errors(search.diagnostics):
            judge = _Judge(late, search)
            judge.judge(len(points))
            points += judge.points
            skipped += judge.skipped
            finds += judge.finds
            found += judge.said.diagnostics
    if not has_errors(found):
        found += idle_pins(read, used)
    if not has_errors(found) and not points:
        found.append(_all_skipped(chosen))
    if has_errors(found):
        return Expanded(None, tuple(found))
    shown = tuple((pin.key, pin.shown) for pin in read.values())
    files = (*scenario.files, *((file.name, file.source.text) for file in named))
    return Expanded(Plan(scenario.name, files, shown, tuple(points), tuple(skipped), tuple(finds)), tuple(found))


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


def idle_pins(pins: Mapping[str, Pin], used: set[str]) -> list[Diagnostic]:
    """What is said about pins that nothing takes a value from."""
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
class _Judge:
    """Skips the points of one sweep, and gives the others their work and their expectations."""

    late: Late
    search: Search
    said: Said = attrs.field(factory=Said)
    points: list[Point] = attrs.field(factory=list)
    skipped: list[Skipped] = attrs.field(factory=list)
    finds: tuple[Find, ...] = ()
    _leaves: list[Leaf] = attrs.field(factory=list)

    def judge(self, first_index: int) -> None:
        flat = self.late.flat
        skips = [skip for level in reversed(flat.levels) for skip in level.skips]
        expects = [expect for level in reversed(flat.levels) for expect in level.expects]
        idle: dict[int, Span] = {id(skip): skip.span for skip in flat.sweep.skips}
        idle.update({id(expect): expect.span for expect in flat.sweep.expects})
        for leaf in self.search.leaves:
            answers = leaf.point.answers
            hit = next((skip for skip in skips if holds(skip.condition, answers, self.late, leaf.choice)), None)
            if hit is not None:
                idle.pop(id(hit), None)
                self.skipped.append(Skipped(leaf.id, flat.sweep.name, leaf.axes(flat), _condition_text(hit)))
                continue
            due = [e for e in expects if e.when is None or holds(e.when, answers, self.late, leaf.choice)]
            for expect in due:
                idle.pop(id(expect), None)
            self._point(leaf, due, first_index)
        if not has_errors(self.said.diagnostics):
            pairs = list(zip(self._leaves, self.points, strict=True))
            self.finds = searched(self.late, pairs, self._expectation, self.said)
        if has_errors(self.said.diagnostics):
            return
        for span in idle.values():
            help_text = "correct its condition, or take it out"
            self.said.say([diagnostic("KVS125", "this applies to no point", span, help=help_text)])

    def _point(self, leaf: Leaf, due: Sequence[ExpectDef], first_index: int) -> None:
        work, problems = work_of(leaf.point, self.late.scenario.drivers)
        if problems:
            self.said.say(problems, leaf.place(self.late.flat))
        expectations = []
        for expect in due:
            try:
                expectations.append(self._expectation(expect, leaf))
            except ScenarioError as error:
                self.said.say(error.diagnostics, leaf.place(self.late.flat))
        if work is None:
            return
        point = leaf.point
        self._leaves.append(leaf)
        self.points.append(
            Point(
                leaf.id,
                first_index + len(self.points),
                self.late.flat.sweep.name,
                leaf.axes(self.late.flat),
                PatternBlock(point.pattern.name, point.pattern.built_in, point.pattern.settings),
                point.tier,
                point.model,
                point.own.settings,
                work,
                tuple(expectations),
                tuple(UsersBlock(each.name, each.built_in, each.settings) for each in point.users),
            )
        )

    def _expectation(self, expect: ExpectDef, leaf: Leaf) -> Expectation:
        """Raises ScenarioError where its value depends on what the point does not reach."""
        try:
            value = expectation_value(expect.value, expect.info, self.late.names(leaf.choice, Trace()))
        except Unchosen as unchosen:
            keys = listed(self.late.flat.axes[unchosen.axis].keys)
            raise problem(
                "KVS120",
                f"this value follows {keys}, which not every point reaches",
                expect.value.span,
                help="say with `when` which points it is for, or give it a value that does not vary",
            ) from None
        return Expectation(expect.measure, expect.operator, value, one_line(expect.span.text))


def _condition_text(skip: SkipDef) -> str:
    """The condition of a `skip when`, on one line."""
    return one_line(skip.span.text).removeprefix("skip when ")
