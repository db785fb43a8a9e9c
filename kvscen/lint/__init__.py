"""What can be said about a scenario beyond its errors: rules, each in a module of its own, and what the text allows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from kvscen.language.check import check_source
from kvscen.language.codes import CODES, RuleText, diagnostic
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.files import read_source
from kvscen.language.render import sorted_by_place
from kvscen.language.scenario import Scenario
from kvscen.lint.allow import Allowed, allow
from kvscen.lint.rule import Budget, PointRule, Rule, Subject
from kvscen.lint.rules import POINT_RULES, TEXT_RULES
from kvscen.plan.expand import expand
from kvscen.plan.point import Large, Plan
from kvscen.plugin.contract import Driver
from kvscen.plugin.registry import PluginError, registry

if TYPE_CHECKING:  # what looks at the machine is imported by who asks for it
    from kvscen.lint.here import Look

#: The rules of the core that need no machine.
_OF_TEXT: tuple[type[Rule], ...] = (*TEXT_RULES, *POINT_RULES)


@attrs.frozen(eq=False)
class Linted:
    """`scenario` and `plan` are None where an error stands in their way. `allowed` is what the text allows, which is
    not among the `diagnostics`."""

    scenario: Scenario | None
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    allowed: tuple[Allowed, ...] = ()


def lint_file(
    path: Path,
    pins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    budget: Budget | None = None,
    look: Look | None = None,
    *,
    whole: bool = False,
) -> Linted:
    """Everything that can be said about a scenario without looking at the machine; with `look` also what it finds.

    `pins` are the `--set path=value`s of the command and `sweeps` its `--sweep`s: what is missing, and what is warned
    of, depends on them. Unless the plan is to be held `whole` it may be large: then the rules look at some of its
    points, and that is said.
    """
    source = read_source(path)
    if isinstance(source, Diagnostic):
        return Linted(None, None, (source,))
    return lint_source(source, path.parent, pins, sweeps, budget, look, whole=whole)


def lint_source(
    source: Source,
    folder: Path | None,
    pins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    budget: Budget | None = None,
    look: Look | None = None,
    *,
    whole: bool = False,
) -> Linted:
    """The same for a text. `folder` is what its `use "file"` is relative to; None: it cannot use files."""
    checked = check_source(source, folder)
    found = list(checked.diagnostics)
    scenario, plan = checked.scenario, None
    asked: tuple[type[Rule], ...] = ()
    if scenario is not None:
        expanded = expand(scenario, pins, sweeps, whole=whole or look is not None)
        found += expanded.diagnostics
        plan = expanded.plan
    if scenario is not None and plan is not None:
        assert checked.document is not None, "there is a scenario"
        subject = Subject(scenario, checked.document, plan.looked_at, budget or Budget(), plan)
        if plan.large is not None:
            found.append(_some(scenario, plan, plan.large))
        found += said(subject)
        if look is not None:
            from kvscen.lint.here import LOOKED_AT, look_at

            found += look_at(subject, look)
            asked = LOOKED_AT
    # Whether an `allow` is of any use is seen where all rules have seen all of the plan that the file itself has.
    seen = plan is not None and plan.large is None and not pins and not sweeps
    judged = {rule.code for rule in (*_OF_TEXT, *asked) if rule in asked or not rule.asked} if seen else set()
    shown, allowed, wrong = allow(source, found, _is_code(scenario), judged)
    return Linted(scenario, plan, sorted_by_place([*shown, *wrong], source), allowed)


def _some(scenario: Scenario, plan: Plan, large: Large) -> Diagnostic:
    there = {point.sweep for point in large.points}
    sweep = next(sweep for sweep in scenario.sweeps.values() if sweep.name in there)
    return diagnostic(
        "KVS140",
        f"the plan has {len(plan.points):,} points, and {len(large.points):,} of them were looked at",
        sweep.span,
        help="values of every axis are among them; fix some axes with `--set` to look at all points of the rest",
    )


def said(subject: Subject) -> Iterator[Diagnostic]:
    """What the rules say of a scenario without errors. The points are gone through once."""
    for text_rule in TEXT_RULES:
        yield from _once(text_rule(subject).check())
    for sweep, points in groupby(subject.plan.points, key=lambda point: point.sweep):
        rules = [rule(subject, sweep) for rule in POINT_RULES]
        found: list[Diagnostic] = []
        # Most rules wait for the end, or see only expectations: of many points each call counts.
        seers = [rule for rule in rules if type(rule).see is not PointRule.see]
        for point in points:
            for rule in seers:
                found.extend(rule.see(point))
        for rule in rules:
            found.extend(rule.end())
        yield from _once(found)


def _once(found: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """Of what is said of one place with one code the first."""
    kept: dict[object, Diagnostic] = {}
    for item in found:
        kept.setdefault((item.code, item.span) if item.span is not None else item, item)
    return kept.values()


# ---- what rules say of themselves


def rules() -> tuple[type[Rule], ...]:
    """Every rule of the core."""
    from kvscen.lint.here import LOOKED_AT

    return (*_OF_TEXT, *LOOKED_AT)


def rule_of(code: str) -> RuleText | None:
    """What the page of a rule says: one of the core's, or of a driver that is installed. None: no rule has the code (it
    may be that of an error, whose page is docs/rules/CODE.md)."""
    return next((text for text in rule_texts(installed_drivers()) if text.code == code), None)


def rule_texts(drivers: Iterable[Driver]) -> Iterator[RuleText]:
    """What the page of each rule says: those of the core, then those of these drivers."""
    yield from (rule.text() for rule in rules())
    for driver in drivers:
        yield from driver.rules


def installed_drivers() -> Iterator[Driver]:
    """Those that can be loaded. It imports their modules."""
    for name in registry().names():
        with contextlib.suppress(PluginError):
            yield registry().driver(name)


def _is_code(scenario: Scenario | None) -> Callable[[str], bool]:
    """Whether a diagnostic can have this code. The drivers that the scenario does not use are asked last."""

    def known(code: str) -> bool:
        if code in CODES:
            return True
        used = () if scenario is None else scenario.drivers.values()
        return any(text.code == code for text in rule_texts(used)) or rule_of(code) is not None

    return known
