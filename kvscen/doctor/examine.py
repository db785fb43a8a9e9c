"""All checks over a machine, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import attrs

from kvscen.doctor import cpu, device, limits, memory, place, software
from kvscen.doctor.case import Case, Disk, Place, places
from kvscen.doctor.finding import Finding, note, ok, problem
from kvscen.facts.gather import Facts
from kvscen.facts.storage import Device
from kvscen.plan.needs import Needs
from kvscen.plan.point import Tier
from kvscen.plugin.probe import DriverReport, examine

MACHINE: tuple[Callable[[Case], Finding | None], ...] = (
    *cpu.CHECKS,
    *memory.CHECKS,
    *limits.CHECKS,
    *software.CHECKS,
)
PLACE: tuple[Callable[[Place], Finding | None], ...] = place.CHECKS
DEVICE: tuple[Callable[[Disk], Finding | None], ...] = device.CHECKS

#: Drivers that are asked at the same time.
_AT_ONCE = 4

A = TypeVar("A")


@attrs.frozen
class Diagnosis:
    """Findings, the gravest first, and the checks that found nothing to look at here, as (check, subject)."""

    findings: tuple[Finding, ...]
    unseen: tuple[tuple[str, str], ...] = ()

    @property
    def prevented(self) -> bool:
        """Whether anything makes measuring impossible."""
        return any(finding.prevents for finding in self.findings)

    def of(self, severity: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)


def diagnose(facts: Facts, needs: Needs, ask: Callable[[str, Tier], DriverReport] = examine) -> Diagnosis:
    """Run every check: on the machine, on each path of the facts, on each disk below them, and ask the drivers of the
    scenarios' tiers. Never raises."""
    results: list[Finding | tuple[str, str]] = []
    results += _run(MACHINE, "", Case(facts, needs))
    for path, where in places(facts, needs).items():
        results += _place(path, where)
    for disk in _disks(facts):
        results += _run(DEVICE, disk.disk, Disk(facts, disk))
    results += [_unread_part(name, text) for name, text in facts.problems.items()]
    results += [_unread_path(path, text) for path, text in facts.unreadable.items()]
    results += ask_drivers(needs.tiers, ask)
    findings = _merged(result for result in results if isinstance(result, Finding))
    order = {"problem": 0, "note": 1, "ok": 2}
    return Diagnosis(
        tuple(sorted(findings, key=lambda finding: (not finding.prevents, order[finding.severity]))),
        tuple(result for result in results if isinstance(result, tuple)),
    )


def _place(path: str, where: Place) -> Iterable[Finding | tuple[str, str]]:
    """Of a folder that cannot be, what is around it says nothing."""
    first = list(_run(PLACE[:1], path, where))
    if any(isinstance(found, Finding) and found.prevents for found in first):
        return first
    return [*first, *_run(PLACE[1:], path, where)]


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """What is said alike of several paths is said once."""
    subjects: dict[Finding, list[str]] = {}
    for finding in findings:
        subjects.setdefault(attrs.evolve(finding, subject=""), []).append(finding.subject)
    return [attrs.evolve(finding, subject=", ".join(of)) for finding, of in subjects.items()]


def _run(checks: Sequence[Callable[[A], Finding | None]], subject: str, what: A) -> Iterator[Finding | tuple[str, str]]:
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            found = check(what)
        except Exception as error:
            # A machine that nobody thought of must not hide what the other checks find.
            found = note(f"could not be checked: {type(error).__name__}: {error}", "this is a mistake of kvscen's")
        yield (name, subject) if found is None else attrs.evolve(found, check=name, subject=subject)


def _disks(facts: Facts) -> Iterable[Device]:
    """The disks below all paths, each once."""
    found: dict[str, Device] = {}
    for files in facts.file_systems.values():
        for disk in files.device.disks if files.device else ():
            found.setdefault(disk.disk, disk)
    return found.values()


def _unread_part(name: str, text: str) -> Finding:
    return attrs.evolve(note(f"it could not be read: {text}", "nothing is known of it"), check="readable", subject=name)


def _unread_path(path: str, text: str) -> Finding:
    found = problem(
        f"it could not be looked at: {text}",
        "a run could not use it either, or would hang",
        "see whether it is mounted, its server is up and you may enter it",
        prevents=True,
    )
    return attrs.evolve(found, check="readable", subject=path)


def ask_drivers(tiers: Sequence[Tier], ask: Callable[[str, Tier], DriverReport]) -> list[Finding]:
    """What the driver of each tier says about it on this machine, in the order of the tiers."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda tier: _driver(tier, ask(tier.driver, tier)), tiers))


def _driver(tier: Tier, report: DriverReport) -> Finding:
    if report.problem or not report.available.ok:
        found = problem(
            report.problem or report.available.reason,
            f"the points of the tier `{tier.name}` would end as unavailable or as an error",
            report.remedy if report.problem else report.available.remedy,
            prevents=True,
        )
    else:
        facts = ", ".join(f"{name}: {value}" for name, value in report.available.facts.items())
        found = ok(f"can be used here{f' ({facts})' if facts else ''}")
    return attrs.evolve(found, check="driver", subject=f"{tier.name} ({tier.driver})")
