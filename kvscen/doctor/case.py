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
    """A path: what is under it, and what a scenario asks of it (None: the path was given by hand)."""

    facts: Facts
    files: FileSystem
    need: PathNeed | None

    @property
    def direct(self) -> bool | None:
        """Whether direct I/O is asked for; None where nobody says."""
        return None if self.need is None else self.need.direct


@attrs.frozen
class Disk:
    """A disk below one of the paths, at the bottom of its stack of devices."""

    facts: Facts
    device: Device
