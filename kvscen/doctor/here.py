"""`kvscen plan --here`: what a plan needs and writes, against what this machine has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from kvscen.doctor.case import Place, places
from kvscen.doctor.device import show_decimal
from kvscen.doctor.examine import ask_drivers
from kvscen.doctor.finding import Finding
from kvscen.doctor.place import direct_io, file_system, folder, free_space
from kvscen.facts.gather import Facts
from kvscen.facts.storage import Device
from kvscen.plan.needs import Needs, PathNeed
from kvscen.plan.point import Tier
from kvscen.plan.writes import TierWrites
from kvscen.plugin.probe import DriverReport, examine
from kvscen.report.numbers import show_one

#: What is checked of a folder. The rest is `kvscen doctor`'s.
_CHECKS: Sequence[Callable[[Place], Finding | None]] = (folder, free_space, direct_io, file_system)


@attrs.frozen
class DiskHere:
    """A disk under a path: its own count of its wear, and what the plan adds. `share` is `least_bytes` of the path as a
    part of the rated endurance, where the user gave one: of all on this one disk."""

    name: str
    model: str | None
    used_percent: int | None
    written_bytes: int | None
    problem: str | None
    rated_bytes: int | None
    share: float | None


@attrs.frozen
class PathHere:
    """A folder of the plan: is it there, does the data set fit, does it take direct I/O, what is written to it."""

    path: str
    tiers: tuple[str, ...]
    needed_bytes: int
    held_bytes: int | None
    free_bytes: int | None
    least_written_bytes: int
    findings: tuple[Finding, ...]
    disks: tuple[DiskHere, ...]


@attrs.frozen
class Here:
    """`drivers` say for each tier whether it can be used on this machine."""

    paths: tuple[PathHere, ...]
    drivers: tuple[Finding, ...]

    @property
    def possible(self) -> bool:
        """Whether the plan can be run as it is."""
        said = (*(finding for path in self.paths for finding in path.findings), *self.drivers)
        return not any(finding.prevents for finding in said)


def here(
    facts: Facts,
    needs: Needs,
    written: Sequence[TierWrites],
    endurance: Mapping[str, int],
    ask: Callable[[str, Tier], DriverReport] = examine,
) -> Here:
    """`endurance` are rated bytes by the name of the tier; under "" those of every other tier."""
    found = places(facts, needs)
    paths = tuple(_path(facts, found.get(need.path), need, written, endurance) for need in needs.paths)
    return Here(paths, tuple(ask_drivers(needs.tiers, ask)))


def _path(
    facts: Facts, place: Place | None, need: PathNeed, written: Sequence[TierWrites], endurance: Mapping[str, int]
) -> PathHere:
    least = sum(own.least_bytes for own in written if own.tier in need.tiers)
    rated = next((endurance[name] for name in (*need.tiers, "") if name in endurance), None)
    if place is None:
        silent = Finding("problem", facts.unreadable.get(need.path, "not asked"), check="readable", prevents=True)
        return PathHere(need.path, need.tiers, need.disk_bytes, None, None, least, (silent,), ())
    files = place.files
    checks, disks = _CHECKS, files.device.disks if files.device else ()
    if folder(place).prevents:
        # What is around a folder that cannot be says nothing about it.
        checks, disks = _CHECKS[:1], ()
    said = ((check.__name__.replace("_", "-"), check(place)) for check in checks)
    return PathHere(
        need.path,
        need.tiers,
        need.disk_bytes,
        files.held_bytes,
        files.free_bytes,
        least,
        tuple(attrs.evolve(found, check=name, subject=need.path) for name, found in said if found is not None),
        tuple(_disk(disk, least, rated) for disk in disks),
    )


def _disk(disk: Device, least: int, rated: int | None) -> DiskHere:
    wear = disk.wear
    return DiskHere(
        disk.disk,
        disk.model,
        wear.used_percent if wear else None,
        wear.written_bytes if wear else None,
        wear.problem if wear else "not asked",
        rated,
        least / rated if rated else None,
    )


def here_json(found: Here) -> dict[str, Any]:
    return {"possible": found.possible, **attrs.asdict(found)}


def here_lines(found: Here) -> Iterator[str]:
    """The same for a person."""
    yield "here"
    for path in found.paths:
        yield f"  {path.path} ({', '.join(path.tiers)})"
        for finding in path.findings:
            yield from _said(finding, finding.check)
        for disk in path.disks:
            yield f"    endurance    {_wear(disk)}"
            yield f"    {'':12} {_share(disk, path)}"
    for finding in found.drivers:
        yield f"  {finding.subject}"
        yield from _said(finding, "driver")


def _said(finding: Finding, name: str) -> Iterator[str]:
    mark = "" if finding.severity == "ok" else f"{finding.severity}: "
    yield f"    {name:12} {mark}{finding.found}"
    if finding.severity == "problem" and finding.remedy:
        yield f"    {'':12} help: {finding.remedy}" + (f": {finding.command}" if finding.command else "")


def _wear(disk: DiskHere) -> str:
    if disk.problem is not None:
        return f"{disk.name} does not tell its wear ({disk.problem})"
    used = f"{disk.used_percent} % of its life used" if disk.used_percent is not None else ""
    so_far = f"{show_decimal(disk.written_bytes)} written so far" if disk.written_bytes is not None else ""
    return f"{disk.name}: {', '.join(part for part in (used, so_far) if part) or 'it tells no figure'}"


def _share(disk: DiskHere, path: PathHere) -> str:
    if not path.least_written_bytes:
        return "what this plan writes to it is not known before it runs"
    least = f"this plan writes at least {show_one(path.least_written_bytes, 'B')}"
    if disk.rated_bytes is None or disk.share is None:
        return f"{least}; `--endurance 600TB`, from the data sheet, gives its share of the rating"
    where = ", if all of it goes to this disk" if len(path.disks) > 1 else ""
    return f"{least}, {disk.share * 100:.2g} % of the {show_decimal(disk.rated_bytes)} that it is rated for{where}"
