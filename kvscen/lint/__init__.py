"""Warnings about scenarios that have no errors: one module for a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from kvscen.language.check import check_source
from kvscen.language.diagnose import Diagnostic, Source
from kvscen.language.files import read_source
from kvscen.language.parse import parse
from kvscen.language.render import sorted_by_place
from kvscen.language.scenario import Scenario
from kvscen.lint import durability, idle_users, replication, seed, trials, units, unmeasured
from kvscen.lint.rule import Rule, Subject
from kvscen.plan.expand import expand
from kvscen.plan.point import Plan

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


def lint_file(path: Path, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Linted:
    """Everything that can be said about a scenario without looking at the machine.

    `pins` are the `--set path=value`s of the command and `sweeps` its `--sweep`s: what is missing, and what is warned
    of, depends on them.
    """
    source = read_source(path)
    if isinstance(source, Diagnostic):
        return Linted(None, None, (source,))
    return lint_source(source, path.parent, pins, sweeps)


def lint_source(source: Source, folder: Path | None, pins: Sequence[str] = (), sweeps: Sequence[str] = ()) -> Linted:
    """The same for a text. `folder` is what its `use "file"` is relative to; None: it cannot use files."""
    checked = check_source(source, folder)
    if checked.scenario is None:
        return Linted(None, None, checked.diagnostics)
    expanded = expand(checked.scenario, pins, sweeps)
    found = [*checked.diagnostics, *expanded.diagnostics]
    if expanded.plan is None:
        return Linted(checked.scenario, None, sorted_by_place(found))
    document, _ = parse(source)
    subject = Subject(checked.scenario, document, expanded.plan)
    found += [warning for rule in RULES for warning in rule(subject)]
    return Linted(checked.scenario, expanded.plan, sorted_by_place(found, source))
