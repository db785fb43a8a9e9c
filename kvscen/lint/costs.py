"""What a plan costs, for the rules that hold it against a budget."""

from __future__ import annotations

import functools

from kvscen.language.scenario import SweepDef
from kvscen.lint.rule import Subject
from kvscen.plan.cost import PlanCost, plan_cost
from kvscen.plan.point import Point
from kvscen.plugin.registry import registry


@functools.lru_cache(maxsize=1)
def cost_of(subject: Subject) -> PlanCost:
    return plan_cost(subject.whole, registry())


@functools.lru_cache(maxsize=1)
def _load_by_sweep(subject: Subject) -> dict[str, int]:
    loads: dict[str, int] = {}
    for point in subject.plan.points:
        loads[point.sweep] = loads.get(point.sweep, 0) + _load_ns(point)
    return loads


def least_load_ns(subject: Subject) -> int:
    """The load of all points, whatever a search leaves out, with room for what comes on top: a plan that is far below
    its budget need not be priced. A large plan is priced by the points that stand for all of it."""
    if subject.whole.large is not None:
        return 2**63
    return 4 * sum(_load_by_sweep(subject).values()) + 600 * 10**9


def longest_sweep(subject: Subject) -> SweepDef:
    """The sweep that takes most of the time."""
    loads = _load_by_sweep(subject)
    return subject.scenario.sweeps[max(loads, key=loads.__getitem__)]


def _load_ns(point: Point) -> int:
    work = point.work
    if point.tier.virtual:
        return 0
    if work.replay is not None:
        return point.trials * (work.replay.lasts_ns or 0)
    return point.trials * (work.warmup_ns + (work.cap_ns or 0) + (work.time_ns or 0))
