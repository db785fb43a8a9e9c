"""What a rule is: a code, what its page says, and what it looks at.

A rule is a class in a module of its own below kvscen.lint.rules. A `TextRule` looks at the whole scenario. A
`PointRule` is made anew for each sweep and sees its points one by one, in their order and once, however many there are:
it keeps what it needs and no points. An `ExpectRule` sees each expectation of each point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import ClassVar

import attrs

from kvscen.language.codes import RuleText, diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Severity, Source, Span
from kvscen.language.format import one_line
from kvscen.language.scenario import ExpectDef, Scenario, SweepDef
from kvscen.language.syntax import Document
from kvscen.language.values import show_value
from kvscen.plan.point import Expectation, Plan, Point


@attrs.frozen
class Budget:
    """What a plan may cost; None: no limit. `wear_share` is of what `endurance` says that the devices are rated for:
    bytes by the name of the tier, under "" those of every other one."""

    time_ns: int | None = None
    written_bytes: int | None = None
    wear_share: Fraction | None = None
    endurance: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Subject:
    """What a rule looks at: a scenario, the document of its own file, and the plan that the scenario comes to.

    Of a large plan, `whole`, the points of `plan` stand for all: going through them is always cheap.
    """

    scenario: Scenario
    document: Document
    plan: Plan
    budget: Budget = attrs.field(factory=Budget)
    whole: Plan = attrs.field(default=attrs.Factory(lambda self: self.plan, takes_self=True))

    @property
    def source(self) -> Source:
        return self.document.source

    def levels(self, sweep: str) -> Sequence[SweepDef]:
        """A sweep and its bases, nearest first."""
        return [self.scenario.sweeps[name] for name in self.scenario.sweeps[sweep].chain]

    def place(self, sweep: str, key: str) -> Span:
        """Where a sweep's points take `key` (`trials`, `llama.tp`) from: an axis, a setting of the sweep or of the
        block, else the name of the block or sweep."""
        block, _, setting = key.rpartition(".")
        if block not in self.scenario.blocks:
            return self._in_sweep(sweep, key) or self.scenario.sweeps[sweep].span
        for name in self.scenario.blocks[block].chain:
            found = self._in_sweep(sweep, f"{name}.{setting}")
            if found is not None:
                return found
            owner = self.scenario.blocks.get(name)
            if owner is not None and setting in owner.settings:
                return owner.settings[setting].path_span
        return self.scenario.blocks[block].span

    def _in_sweep(self, sweep: str, key: str) -> Span | None:
        levels = self.levels(sweep)
        for level in levels:
            for axis in level.axes:
                for target, span in zip(axis.targets, axis.path_spans, strict=True):
                    if target.key == key:
                        return span
        return next((level.assigned[key].path_span for level in levels if key in level.assigned), None)


class Rule:
    """`code` is one of kvscen.language.codes; `finds`, `why` and `remedy` are what its page says, in Markdown.

    `asked`: it says nothing unless the command asks for it (`--here`, `--budget`), so that allowing it is never idle.
    """

    code: ClassVar[str]
    finds: ClassVar[str]
    why: ClassVar[str]
    remedy: ClassVar[str]
    asked: ClassVar[bool] = False

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @classmethod
    def text(cls) -> RuleText:
        return RuleText(cls.code, cls.finds, cls.why, cls.remedy)

    def say(
        self,
        message: str,
        span: Span | None,
        *,
        label: str = "",
        help: str = "",
        fix: Fix | None = None,
        related: tuple[tuple[Span, str], ...] = (),
        severity: Severity | None = None,
    ) -> Diagnostic:
        return diagnostic(self.code, message, span, label=label, help=help, fix=fix, related=related, severity=severity)


class TextRule(Rule):
    def check(self) -> Iterable[Diagnostic]:
        raise NotImplementedError


class PointRule(Rule):
    """Of one sweep. What is said twice of one place is shown once."""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject)
        self.sweep = sweep
        self._told: set[str] = set()

    def see(self, point: Point) -> Iterable[Diagnostic]:
        """One of the sweep's points; each comes once."""
        return ()

    def end(self) -> Iterable[Diagnostic]:
        """All of them have come."""
        return ()

    def first(self, key: str) -> bool:
        """Whether nothing has been said of this place yet: of a million points the first one is enough."""
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def place(self, key: str) -> Span:
        return self.subject.place(self.sweep, key)


class ExpectRule(PointRule):
    """Sees each expectation of each point, together with where it is written."""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        expects = (expect for level in subject.levels(sweep) for expect in level.expects)
        self._written = {one_line(expect.span.text): expect for expect in expects}

    def see(self, point: Point) -> Iterator[Diagnostic]:
        for expected in point.expectations:
            if expected.text not in self._told:
                for item in self.judge(point, expected, self._written[expected.text]):
                    self._told.add(expected.text)
                    yield item

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterable[Diagnostic]:
        raise NotImplementedError


def at(point: Point, most: int = 3) -> str:
    """Which point it is: "at a.b = 1, tier = disk"; empty where nothing varies."""
    shown = [f"{path} = {show_value(value)}" for path, value in point.axes.items()]
    if not shown:
        return ""
    return f"at {', '.join(shown[:most])}{', ...' if len(shown) > most else ''}"
