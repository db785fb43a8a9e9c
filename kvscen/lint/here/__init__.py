"""Rules that need this machine (`--here`), each in a module of its own, and what drivers say about it."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor.case import places
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.here.available import Available
from kvscen.lint.here.base import HereRule, Look, Machine
from kvscen.lint.here.cached import Cached
from kvscen.lint.here.cpus import Cpus
from kvscen.lint.here.direct_io import DirectIo
from kvscen.lint.here.drivers import ask_drivers
from kvscen.lint.here.file_system import FileSystem
from kvscen.lint.here.folder import Folder
from kvscen.lint.here.free_space import FreeSpace
from kvscen.lint.here.locked import Locked
from kvscen.lint.here.memory_size import Memory
from kvscen.lint.rule import Subject
from kvscen.plan.needs import needs
from kvscen.plugin.registry import registry

__all__ = ["LOOKED_AT", "Look", "look_at"]

#: The rules that need this machine.
LOOKED_AT: tuple[type[HereRule], ...] = (
    Folder,
    FreeSpace,
    FileSystem,
    DirectIo,
    Cached,
    Memory,
    Cpus,
    Locked,
    Available,
)


def look_at(subject: Subject, look: Look) -> Iterator[Diagnostic]:
    """What can be said of the plan on this machine: by the rules, then by the drivers."""
    needed = needs([subject.plan], registry())
    facts = look.facts([need.path for need in needed.paths])
    machine = Machine(facts, needed, places(facts, needed), look)
    for rule in LOOKED_AT:
        yield from rule(subject, machine).check()
    yield from ask_drivers(subject)
