"""Which tiers of a point go through the page cache, for the rules that warn of it."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.plan.cost import each_tier
from kvscen.plan.needs import path_of
from kvscen.plan.point import Point, Tier


def buffered(point: Point) -> Iterator[Tier]:
    """The tiers and levels with files whose settings say that direct I/O is not wanted. None where an axis compares the
    two: then that is what is measured."""
    if any(path.rpartition(".")[2] == "direct" for path in point.axes):
        return
    for tier in each_tier(point.tier):
        if path_of(tier) is not None and getattr(tier.settings, "direct", None) is False:
            yield tier
