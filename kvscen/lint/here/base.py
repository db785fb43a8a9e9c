"""What a rule is that needs this machine.

What is looked at is what `kvscen doctor` looks at: its checks are asked about the folders, the memory and the
processors that the plan needs, and what would spoil or prevent it becomes a diagnostic at the setting that is to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from kvscen.doctor import place
from kvscen.doctor.case import Case, Place
from kvscen.doctor.finding import Finding as Found
from kvscen.facts.gather import Facts, gather
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.rule import Rule, Subject
from kvscen.plan.needs import Needs, PathNeed
from kvscen.plan.point import Tier
from kvscen.plugin.probe import DriverReport, examine


@attrs.frozen
class Look:
    """What is asked of the machine. Tests bring their own."""

    facts: Callable[[Sequence[str]], Facts] = lambda paths: gather(paths, counted=paths)
    ask: Callable[[str, Tier], DriverReport] = examine


@attrs.frozen(eq=False)
class Machine:
    """What a rule that needs the machine looks at, beside the scenario."""

    facts: Facts
    needs: Needs
    places: dict[str, Place]
    look: Look

    @property
    def case(self) -> Case:
        return Case(self.facts, self.needs)


class HereRule(Rule):
    asked = True

    def __init__(self, subject: Subject, machine: Machine) -> None:
        super().__init__(subject)
        self.machine = machine

    def check(self) -> Iterable[Diagnostic]:
        raise NotImplementedError

    def wrong(self, found: Found | None, span: Span, subject: str = "") -> Iterator[Diagnostic]:
        """What a check of the doctor's has to say, if it is a problem."""
        if found is not None and found.severity == "problem":
            about = f"{subject}: " if subject else ""
            command = f": `{found.command}`" if found.command else ""
            why = f"; {found.why}" if found.why else ""
            yield self.say(f"{about}{found.found}{why}", span, help=found.remedy + command)

    def tier_span(self, names: Sequence[str], *settings: str) -> Span:
        """Where the first of these tiers says one of these settings, else the tier."""
        for name in names:
            for link in self.subject.scenario.blocks[name].chain:
                owner = self.subject.scenario.blocks.get(link)
                for setting in settings:
                    if owner is not None and setting in owner.settings:
                        return owner.settings[setting].path_span
        return self.subject.scenario.blocks[names[0]].span


class FolderRule(HereRule):
    """Of each folder of the plan."""

    settings: tuple[str, ...] = ("path", "filepath")

    def check(self) -> Iterator[Diagnostic]:
        for need in self.machine.needs.paths:
            where = self.machine.places.get(need.path)
            yield from self.of(need, where, self.tier_span(need.tiers, *self.settings))

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        raise NotImplementedError


def unusable(where: Place | None) -> bool:
    """Of a folder that cannot be, what is around it says nothing."""
    return where is None or place.folder(where).prevents


def first_sweep(subject: Subject) -> Span:
    return subject.scenario.sweeps[next(iter(subject.plan.points)).sweep].span
