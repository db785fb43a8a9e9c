"""What the points of a plan ask of a machine: folders, disk space, memory, processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kvscen.plan.cost import asked, each_tier
from kvscen.plan.point import Plan, Tier
from kvscen.plugin.contract import Driver
from kvscen.plugin.registry import Registry


@attrs.frozen
class PathNeed:
    """What is asked of one folder. `disk_bytes` is the most that one point keeps there: points share a data set.
    `direct` is None where no tier says whether it wants direct I/O."""

    path: str
    tiers: tuple[str, ...]
    disk_bytes: int
    direct: bool | None


@attrs.frozen
class Needs:
    """What is asked of the machine. `tiers` are the different tiers, levels included; of the rest each figure is the
    largest of any one point. `lanes` are threads x processes."""

    tiers: tuple[Tier, ...] = ()
    paths: tuple[PathNeed, ...] = ()
    memory_bytes: int = 0
    working_set_bytes: int = 0
    lanes: int = 0

    @property
    def drivers(self) -> frozenset[str]:
        return frozenset(tier.driver for tier in self.tiers)


def path_of(tier: Tier) -> str | None:
    """The folder of a tier, by the settings that drivers of files have: `path`, or as nixlbench calls it."""
    found = (getattr(tier.settings, name, None) for name in ("path", "filepath"))
    return next((path for path in found if isinstance(path, str)), None)


def paths_of(plan: Plan) -> list[str]:
    """The folders of the plan's tiers, each once."""
    found = (path_of(tier) for point in plan.points for tier in each_tier(point.tier))
    return list(dict.fromkeys(path for path in found if path is not None))


def needs(plans: Sequence[Plan], registry: Registry) -> Needs:
    tiers: list[Tier] = []
    disk: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    direct: dict[str, set[bool]] = {}
    memory = working_set = lanes = 0
    for point in (point for plan in plans for point in plan.points):
        drivers: Mapping[str, Driver] = {tier.driver: registry.driver(tier.driver) for tier in each_tier(point.tier)}
        own_disk: dict[str, int] = {}
        own_memory = 0
        for tier, work in asked(point.tier, point.work, drivers):
            if tier not in tiers:
                tiers.append(tier)
            footprint = drivers[tier.driver].footprint(tier, work)
            own_memory += footprint.memory_bytes
            path = path_of(tier)
            if path is None:
                continue
            own_disk[path] = own_disk.get(path, 0) + footprint.disk_bytes
            names.setdefault(path, [])
            if tier.name not in names[path]:
                names[path].append(tier.name)
            wanted = getattr(tier.settings, "direct", getattr(tier.settings, "storage_enable_direct", None))
            if isinstance(wanted, bool):
                direct.setdefault(path, set()).add(wanted)
        for path, nbytes in own_disk.items():
            disk[path] = max(disk.get(path, 0), nbytes)
        memory = max(memory, own_memory)
        working_set = max(working_set, point.work.working_set_bytes)
        lanes = max(lanes, point.work.threads * point.work.processes)
    paths = tuple(
        PathNeed(path, tuple(names[path]), nbytes, True in direct[path] if path in direct else None)
        for path, nbytes in disk.items()
    )
    return Needs(tuple(tiers), paths, memory, working_set, lanes)
