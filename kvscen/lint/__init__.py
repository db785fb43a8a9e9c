"""Warnings about scenarios that have no errors: one module for a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from kvscen.language.check import check_source
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.files import read_source
from kvscen.language.parse import parse
from kvscen.language.render import sorted_by_place
from kvscen.language.scenario import Scenario
from kvscen.lint import durability, idle_users, replication, seed, trials, units, unmeasured
from kvscen.lint.rule import Rule, Subject
from kvscen.plan.expand import expand
from kvscen.plan.point import Large, Plan

RULES: tuple[Rule, ...] = (
    units.RULE,
    replication.RULE,
    trials.RULE,
    seed.RULE,
    durability.RULE,
    idle_users.RULE,
    unmeasured.RULE,
)


@attrs.frozen(eq=False)
class Linted:
    """`scenario` and `plan` are None where an error stands in their way."""

    scenario: Scenario | None
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def lint_file(path: Path, pins: Sequence[str] = (), sweeps: Sequence[str] = (), *, whole: bool = False) -> Linted:
    """Everything that can be said about a scenario without looking at the machine.

    `pins` are the `--set path=value`s of the command and `sweeps` its `--sweep`s: what is missing, and what is warned
    of, depends on them. Unless the plan is to be held `whole` it may be large: then the rules look at some of its
    points, and that is said.
    """
    source = read_source(path)
    if isinstance(source, Diagnostic):
        return Linted(None, None, (source,))
    return lint_source(source, path.parent, pins, sweeps, whole=whole)


def lint_source(
    source: Source,
    folder: Path | None,
    pins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    *,
    whole: bool = False,
) -> Linted:
    """Like lint_file, of a text; `folder` is what its `use "file"` is relative to (None: it cannot use files)."""
    checked = check_source(source, folder)
    if checked.scenario is None:
        return Linted(None, None, checked.diagnostics)
    expanded = expand(checked.scenario, pins, sweeps, whole=whole)
    found = [*checked.diagnostics, *expanded.diagnostics]
    if expanded.plan is None:
        return Linted(checked.scenario, None, sorted_by_place(found))
    document, _ = parse(source)
    subject = Subject(checked.scenario, document, expanded.plan.looked_at, expanded.plan)
    if expanded.plan.large is not None:
        found.append(_some(checked.scenario, expanded.plan, expanded.plan.large))
    found += [warning for rule in RULES for warning in rule(subject)]
    return Linted(checked.scenario, expanded.plan, sorted_by_place(found, source))


def _some(scenario: Scenario, plan: Plan, large: Large) -> Diagnostic:
    sweep = next(sweep for sweep in scenario.sweeps.values() if sweep.name in {point.sweep for point in large.points})
    return diagnostic(
        "KVS140",
        f"the plan has {len(plan.points):,} points, and {len(large.points):,} of them were looked at",
        sweep.span,
        help="every value of every axis is among them; fix some axes with `--set` to look at all points of the rest",
    )
