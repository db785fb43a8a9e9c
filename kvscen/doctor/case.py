"""What the checks look at."""

from __future__ import annotations

import attrs

from kvscen.facts.gather import Facts
from kvscen.facts.storage import Device, FileSystem
from kvscen.plan.needs import Needs, PathNeed


@attrs.frozen
class Case:
    """The machine, and what the scenarios ask of it (of nothing: no scenario was given)."""

    facts: Facts
    needs: Needs


@attrs.frozen
class Place:
    """A path: what is under it, and what a scenario asks of it (None: the path was given by hand). `others_bytes` is
    what its other folders on the same file system have yet to be filled with."""

    facts: Facts
    files: FileSystem
    need: PathNeed | None
    others_bytes: int = 0

    @property
    def direct(self) -> bool | None:
        """Whether direct I/O is asked for; None where nobody says."""
        return None if self.need is None else self.need.direct


@attrs.frozen
class Disk:
    """A disk below one of the paths, at the bottom of its stack of devices."""

    facts: Facts
    device: Device


def places(facts: Facts, needs: Needs) -> dict[str, Place]:
    """Each path of the facts with what is asked of it."""
    wanted = {need.path: need for need in needs.paths}
    missing = {
        path: max(0, need.disk_bytes - (facts.file_systems[path].held_bytes or 0))
        for path, need in wanted.items()
        if path in facts.file_systems
    }

    def others(path: str) -> int:
        mount = facts.file_systems[path].mount_point
        return sum(
            nbytes
            for other, nbytes in missing.items()
            if other != path and path in missing and facts.file_systems[other].mount_point == mount
        )

    return {path: Place(facts, files, wanted.get(path), others(path)) for path, files in facts.file_systems.items()}
