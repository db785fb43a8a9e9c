"""From the name of a driver to an open tier, in the worker."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kvscen.plan.point import Tier, Work
from kvscen.plugin.contract import Driver, Store

if TYPE_CHECKING:
    from kvscen.plugin.registry import Registry


def load_driver(target: str) -> Driver:
    """The driver class at `module:Class`, made."""
    module, _, name = target.partition(":")
    driver = getattr(importlib.import_module(module), name)()
    assert isinstance(driver, Driver)
    return driver


def targets_of(tier: Tier, registry: Registry) -> dict[str, str]:
    """`module:Class` of the drivers of a tier and its levels, by name."""
    targets = {tier.driver: registry.refs[tier.driver].target}
    for level in tier.levels:
        targets |= targets_of(level, registry)
    return targets


def open_stores(tier: Tier, work: Work, targets: Mapping[str, str]) -> list[Store]:
    """The stores of a tier, its levels first and itself last."""
    opened: list[Store] = []
    try:
        driver = load_driver(targets[tier.driver])
        levels = []
        for number, level in enumerate(tier.levels):
            inner = open_stores(level, driver.level_work(tier, work, number), targets)
            opened += inner
            levels.append(inner[-1])
        opened.append(driver.open(tier, work, levels))
    except BaseException:
        for store in reversed(opened):
            store.close()
        raise
    return opened
