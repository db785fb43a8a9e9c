"""What drivers say of their tiers on this machine (`Driver.lint_here`)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import attrs

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.language.schema import Finding, settings_of
from kvscen.lint.rule import Subject
from kvscen.plan.cost import asked
from kvscen.plan.point import Tier, Work
from kvscen.plan.resolve import failed, to_diagnostic
from kvscen.plugin.contract import Driver

#: How long a driver may take to look at the machine for all its tiers.
PATIENCE_S = 10.0
#: So many different works of a driver's tiers are asked about: what is said of alignment and space differs in few.
_WORKS = 200


def ask_drivers(subject: Subject) -> Iterator[Diagnostic]:
    """Each driver about its tiers and their work. One that hangs is left alone: its thread is a daemon."""
    drivers = subject.scenario.drivers
    jobs: dict[str, dict[tuple[str, Work], tuple[Tier, Work]]] = {}
    for point in subject.plan.points:
        for tier, work in asked(point.tier, point.work, drivers):
            # What the order is drawn from says nothing about the machine.
            own = jobs.setdefault(tier.driver, {})
            if len(own) < _WORKS:
                own.setdefault((tier.name, attrs.evolve(work, seed=0, traffic=None, replay=None)), (tier, work))
    for name, own in jobs.items():
        driver = drivers[name]
        if type(driver).lint_here is Driver.lint_here:
            continue
        answers: list[tuple[Tier, Finding]] = []
        errors: list[Exception] = []
        thread = threading.Thread(target=_ask, args=(driver, list(own.values()), answers, errors), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        first = subject.scenario.blocks[next(iter(own))[0]].span
        if thread.is_alive():
            yield diagnostic(
                "KVS303",
                f"the driver `{name}` did not answer within {PATIENCE_S:g} s what it thinks of this machine",
                first,
                help="its folder may be on a server that is down; `kvscen doctor` looks further",
            )
            continue
        yield from (failed(name, error, first) for error in errors)
        yield from dict.fromkeys(to_diagnostic(finding, _span(subject, tier, finding)) for tier, finding in answers)


def _ask(
    driver: Driver, works: Iterable[tuple[Tier, Work]], answers: list[tuple[Tier, Finding]], errors: list[Exception]
) -> None:
    try:
        for tier, work in works:
            answers.extend((tier, finding) for finding in driver.lint_here(tier, work))
    except Exception as error:  # third-party code may raise anything
        errors.append(error)


def _span(subject: Subject, tier: Tier, finding: Finding) -> Span:
    block = subject.scenario.blocks[tier.name]
    if finding.setting is not None and finding.setting in settings_of(block.declaration):
        for link in block.chain:
            owner = subject.scenario.blocks.get(link)
            if owner is not None and finding.setting in owner.settings:
                return owner.settings[finding.setting].path_span
    return block.span
