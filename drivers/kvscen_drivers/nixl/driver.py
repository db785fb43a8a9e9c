"""The driver `nixl`: NIXL's own agent in the worker moves the blocks, to files or to the memory of another process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from kvscen.plugin import Availability, Driver, Finding, Footprint, Severity, Store, Tier, Work, buffers_for
from kvscen_drivers.nixl import wheel
from kvscen_drivers.nixl.from_traffic import IMPORTER
from kvscen_drivers.nixl.settings import MEASURES, NixlSettings, as_dict

#: What a block takes in a file or a buffer is rounded up to this.
_GRAIN = 4096
#: The backends that a probe of the machine in general creates. The others need hardware or a service.
_TRIED = ("POSIX", "UCX")


class NixlDriver(Driver):
    """Blocks that NIXL moves."""

    name = "nixl"
    summary = "NIXL's agent: blocks in files (POSIX) or in another process's memory (UCX)."
    settings = NixlSettings
    measures = MEASURES
    ceilings = frozenset({"fio"})
    ranks = True
    importers = (IMPORTER,)

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        settings: NixlSettings = tier.settings
        if work.traffic is not None:
            if settings.in_files:
                yield Finding(
                    "KVS302",
                    f"{settings.backend} keeps blocks in files, and a `matrix` goes from the memory of one rank to "
                    "that of another",
                    "backend",
                    help="use a backend of the network: `backend = UCX`",
                )
            return
        if settings.in_files:
            yield from _lint_files(tier, work)
        elif work.ceiling == "fio":
            yield _no_ceiling("fio knows files, and these blocks are in the memory of another process")
        posted = (work.depth or 1) * work.batch
        if work.wait == "batch" and posted > settings.max_in_flight:
            yield Finding(
                "KVS340",
                f"{posted} operations are to be posted at once, and `max_in_flight` is {settings.max_in_flight}: a "
                "batch goes in several transfers",
                "max_in_flight",
                help=f"set `max_in_flight = {posted}`, which takes as many buffers",
                severity=Severity.WARNING,
            )

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        if work.traffic is not None:
            return Footprint(memory_bytes=work.traffic.memory_bytes)
        settings: NixlSettings = tier.settings
        slot = -(-work.block_bytes // _GRAIN) * _GRAIN
        most = settings.max_in_flight
        memory = work.threads * work.processes * buffers_for(work, most) * slot
        if settings.in_files:
            return Footprint(memory_bytes=memory, disk_bytes=work.keys * slot)
        return Footprint(memory_bytes=memory + work.keys * work.block_bytes)

    def probe(self, tier: Tier | None) -> Availability:
        if wheel.package() is None:
            return Availability(False, wheel.MISSING, wheel.INSTALL)
        facts = {"NIXL": wheel.version()}
        if tier is None:
            return _machine(facts)
        settings: NixlSettings = tier.settings
        verdict = wheel.examine(settings.backend, settings.plugin_parameters(), as_dict(settings.env))
        if not verdict.ok:
            return Availability(False, verdict.reason, "use another `backend`, or install what this one needs", facts)
        facts[settings.backend] = f"works, with {' and '.join(sorted(verdict.memory))}"
        if not settings.in_files:
            return Availability(True, facts=facts)
        from kvscen_drivers.nixl.store import posix_settings
        from kvscen_drivers.posix.driver import PosixDriver

        files = PosixDriver().probe(attrs.evolve(tier, driver="posix", settings=posix_settings(settings)))
        return attrs.evolve(files, facts=facts | dict(files.facts))

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        if tier.settings.in_files:
            from kvscen_drivers.nixl.store import FileStore

            return FileStore(tier, work)
        if work.traffic is not None:
            from kvscen_drivers.nixl.ranks import RankStore

            return RankStore(tier, work)
        from kvscen_drivers.nixl.remote import RemoteStore

        return RemoteStore(tier, work)


def _lint_files(tier: Tier, work: Work) -> Iterator[Finding]:
    """What `posix` has to say about its side of it, but for the names of settings that only it has."""
    from kvscen_drivers.nixl.store import posix_settings
    from kvscen_drivers.posix.driver import PosixDriver

    settings: NixlSettings = tier.settings
    if work.ceiling == "fio" and settings.backend != "POSIX":
        yield _no_ceiling(f"fio does not do what {settings.backend} does")
        work = attrs.evolve(work, ceiling="none")
    yield from PosixDriver().lint(attrs.evolve(tier, driver="posix", settings=posix_settings(settings)), work)


def _no_ceiling(reason: str) -> Finding:
    return Finding(
        "KVS305",
        f"no ceiling for these points: {reason}",
        help="they run without one; leave `ceiling` out for them",
        severity=Severity.WARNING,
    )


def _machine(facts: dict[str, str]) -> Availability:
    """Which of NIXL's backends work on this machine."""
    works = False
    for name, problem in wheel.plugins().items():
        if problem:
            facts[name] = problem
        elif name in _TRIED:
            verdict = wheel.examine(name, {}, {})
            works |= verdict.ok
            facts[name] = "works" if verdict.ok else verdict.reason
        else:
            facts[name] = "its library loads; not tried"
    if works:
        return Availability(True, facts=facts)
    reasons = "; ".join(facts.get(name, f"no plugin {name}") for name in _TRIED)
    return Availability(False, f"neither POSIX nor UCX works: {reasons}", wheel.INSTALL, facts)
