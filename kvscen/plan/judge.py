"""Skips the points of one sweep, and gives the others their work and their expectations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from kvscen.language.bind import expectation_value
from kvscen.language.blocks import TransferSettings
from kvscen.language.codes import diagnostic, problem
from kvscen.language.diagnose import Diagnostic, ScenarioError, Span, has_errors
from kvscen.language.format import one_line
from kvscen.language.scenario import ExpectDef, SkipDef
from kvscen.language.sealed import Unchosen
from kvscen.language.suggest import listed
from kvscen.pattern.matrix_file import MatrixFile
from kvscen.plan.condition import holds
from kvscen.plan.find import searched
from kvscen.plan.grid import Grid, TooMany, decided, sealable
from kvscen.plan.large import Made, looked_at
from kvscen.plan.late import Late, Trace
from kvscen.plan.point import Expectation, Find, Large, PatternBlock, Point, Skipped, UsersBlock
from kvscen.plan.reach import Reached, work_of
from kvscen.plan.resolve import Resolver
from kvscen.plan.search import Leaf, Said, Search, leaf_of


@attrs.frozen(eq=False)
class Judged:
    """What became of the points of a sweep. `files` are the matrices that they name; `large` is there where the points
    are made when they are asked for."""

    points: Sequence[Point] = ()
    skipped: Sequence[Skipped] = ()
    finds: tuple[Find, ...] = ()
    files: tuple[MatrixFile, ...] = ()
    large: Large | None = None


def judge(late: Late, search: Search, first_index: int, said: Said) -> Judged:
    """The points that a search found, skipped or with all that running them needs. Problems go to `said`."""
    judge = _Judge(late, said, first_index)
    judged = judge.leaves(search.leaves) if search.grid is None else judge.grid(search.grid)
    if not has_errors(said.diagnostics):
        judge.say_idle()
    return judged


def large_of(parts: Sequence[Judged]) -> Large | None:
    """What is known of a plan of these parts; None where none of them is large."""
    if all(part.large is None for part in parts):
        return None
    points = [point for part in parts for point in (part.points if part.large is None else part.large.points)]
    trials = [sum(p.trials for p in part.points) if part.large is None else part.large.trials for part in parts]
    loads = [None if part.large is None else (part.large.load_ns, part.large.ceiling_ns) for part in parts]
    known = [load for load in loads if load is not None and None not in load]
    whole = len(known) == len(parts)
    return Large(
        tuple(points),
        sum(trials),
        sum(load or 0 for load, _ in known) if whole else None,
        sum(ceiling or 0 for _, ceiling in known) if whole else None,
    )


@attrs.define
class _Judge:
    late: Late
    said: Said
    first_index: int
    skips: list[SkipDef] = attrs.field(init=False)
    expects: list[ExpectDef] = attrs.field(init=False)
    idle: dict[int, Span] = attrs.field(init=False)
    _fixed: dict[int, Expectation] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        flat = self.late.flat
        self.skips = [skip for level in reversed(flat.levels) for skip in level.skips]
        self.expects = [expect for level in reversed(flat.levels) for expect in level.expects]
        self.idle = {id(skip): skip.span for skip in flat.sweep.skips}
        self.idle.update({id(expect): expect.span for expect in flat.sweep.expects})

    def say_idle(self) -> None:
        for span in self.idle.values():
            help_text = "correct its condition, or take it out"
            self.said.say([diagnostic("KVS125", "this applies to no point", span, help=help_text)])

    # ---- conditions

    def hit(self, point: Reached, choice: Mapping[int, int]) -> int:
        """The number of the first skip that holds; -1: none."""
        answers = point.answers
        return next((i for i, skip in enumerate(self.skips) if holds(skip.condition, answers, self.late, choice)), -1)

    def due(self, point: Reached, choice: Mapping[int, int]) -> tuple[ExpectDef, ...]:
        """The expectations that are for this point."""
        answers = point.answers
        return tuple(e for e in self.expects if e.when is None or holds(e.when, answers, self.late, choice))

    def _counts(self, due: Sequence[ExpectDef]) -> None:
        for expect in due:
            self.idle.pop(id(expect), None)

    # ---- one by one

    def leaves(self, leaves: Sequence[Leaf]) -> Judged:
        points: list[Point] = []
        skipped: list[Skipped] = []
        pairs: list[tuple[Leaf, Point]] = []
        for leaf in leaves:
            hit = self.hit(leaf.point, leaf.choice)
            if hit >= 0:
                self.idle.pop(id(self.skips[hit]), None)
                skipped.append(self._skipped(leaf, hit))
                continue
            due = self.due(leaf.point, leaf.choice)
            self._counts(due)
            point = self._point(leaf, due, self.first_index + len(points))
            if point is not None:
                pairs.append((leaf, point))
                points.append(point)
        finds: tuple[Find, ...] = ()
        if not has_errors(self.said.diagnostics):
            finds = searched(self.late, pairs, self._expectation, self.said)
        files = dict.fromkeys(file for leaf in leaves for file in leaf.point.matrices)
        return Judged(tuple(points), tuple(skipped), finds, tuple(files))

    def _skipped(self, leaf: Leaf, hit: int) -> Skipped:
        flat = self.late.flat
        return Skipped(leaf.id, flat.sweep.name, leaf.axes(flat), _condition_text(self.skips[hit]))

    def _point(self, leaf: Leaf, due: Sequence[ExpectDef], index: int) -> Point | None:
        """The whole point; None where it has an error, which is said."""
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
            return None
        point = leaf.point
        return Point(
            leaf.id,
            index,
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

    def _expectation(self, expect: ExpectDef, leaf: Leaf) -> Expectation:
        """Raises ScenarioError where its value depends on what the point does not reach."""
        known = self._fixed.get(id(expect))
        if known is not None:
            return known
        trace = Trace()
        try:
            value = expectation_value(expect.value, expect.info, self.late.names(leaf.choice, trace))
        except Unchosen as unchosen:
            keys = listed(self.late.flat.axes[unchosen.axis].keys)
            raise problem(
                "KVS120",
                f"this value follows {keys}, which not every point reaches",
                expect.value.span,
                help="say with `when` which points it is for, or give it a value that does not vary",
            ) from None
        made = Expectation(expect.measure, expect.operator, value, one_line(expect.span.text))
        if self.late.flat.axis_of.keys().isdisjoint(trace.used):
            self._fixed[id(expect)] = made
        return made

    # ---- many

    def grid(self, grid: Grid) -> Judged:
        flat = self.late.flat
        if any(level.find is not None for level in flat.levels):
            self.said.say([_too_many_to_search(grid)])
            return Judged()
        sealed = Resolver(attrs.evolve(self.late, sealable=sealable(flat)))
        hits = np.full(len(grid), -1, np.int16)
        try:
            for hit, places in decided(grid, sealed, self.hit) if self.skips else ():
                hits[places] = hit
                if hit >= 0:
                    self.idle.pop(id(self.skips[hit]), None)
            kept, dropped = grid.taken(hits < 0), grid.taken(hits >= 0)
            for due, _ in decided(kept, sealed, self.due):
                self._counts(due)
        except TooMany:
            self.said.say([_too_many_conditions(grid)])
            return Judged()
        hits = hits[hits >= 0]
        plain = Resolver(self.late)

        def point_at(index: int) -> Point:
            said = Said()
            leaf = leaf_of(plain, kept.choice(index))
            maker = attrs.evolve(self, said=said)
            point = maker._point(leaf, self.due(leaf.point, leaf.choice), self.first_index + index)
            if point is None or has_errors(said.diagnostics):
                raise ScenarioError(said.diagnostics)
            return point

        def skipped_at(index: int) -> Skipped:
            return self._skipped(leaf_of(plain, dropped.choice(index)), int(hits[index]))

        found = []
        for index in looked_at(kept) if len(kept) else ():
            leaf = leaf_of(plain, kept.choice(index))
            point = self._point(leaf, self.due(leaf.point, leaf.choice), self.first_index + index)
            if point is not None:
                found.append(point)
        return Judged(
            Made(len(kept), point_at),
            Made(len(dropped), skipped_at),
            (),
            tuple(dict.fromkeys(file for box in grid.boxes for file in box.point.matrices)),
            _large(kept, sealed, tuple(found)),
        )


def _large(grid: Grid, sealed: Resolver, points: tuple[Point, ...]) -> Large:
    """What is known of the points of a grid, of which `points` were looked at."""
    trials = sum(int(each) * len(places) for each, places in decided(grid, sealed, _trials))
    load_ns: int | None = 0
    ceiling_ns: int | None = 0
    for load, places in decided(grid, sealed, _load):
        load_ns = None if load is None or load_ns is None else load_ns + load[0] * len(places)
        ceiling_ns = None if load is None or ceiling_ns is None else ceiling_ns + load[1] * len(places)
    return Large(points, trials, load_ns, ceiling_ns)


def _trials(point: Reached, choice: Mapping[int, int]) -> int:
    return int(point.own.settings.trials)


def _load(point: Reached, choice: Mapping[int, int]) -> tuple[int, int] | None:
    """How long the load of all trials takes, and the programs beside it, in ns; None where operations or requests end
    it."""
    own = point.own.settings
    if not isinstance(point.pattern.settings, TransferSettings) or own.time_ns is None:
        return None
    if point.tier.virtual:
        return 0, 0
    once = own.trials * (own.warmup_ns + own.time_ns)
    return once + own.trials * (own.cap_ns or 0), 0 if own.ceiling == "none" else once


def _condition_text(skip: SkipDef) -> str:
    """The condition of a `skip when`, on one line."""
    return one_line(skip.span.text).removeprefix("skip when ")


def _too_many_to_search(grid: Grid) -> Diagnostic:
    sweep = grid.flat.sweep
    return diagnostic(
        "KVS107",
        f"the sweep `{sweep.name}` searches among {len(grid):,} points, which are too many",
        sweep.span,
        help="let the other axes vary in coarser steps, or fix some of them with `--set`",
    )


def _too_many_conditions(grid: Grid) -> Diagnostic:
    sweep = grid.flat.sweep
    return diagnostic(
        "KVS107",
        f"the conditions of the sweep `{sweep.name}` look at too many axes of its {len(grid):,} points",
        sweep.span,
        help="vary in coarser steps, or let the conditions ask for fewer axes",
    )
