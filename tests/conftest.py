"""Which tests may run at once: `make test` runs them on two processes (pytest-xdist)."""

from __future__ import annotations

import gc
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("kvscen", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("kvscen")

_HERE = Path(__file__).parent
#: What goes over the loopback device proves its way by that device's counters, which everybody else counts in too.
_LOOPBACK = ("drivers/memkv", "drivers/mooncake", "drivers/nixl", "drivers/redis")

_frozen_for: set[Path] = set()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(_HERE).as_posix()
        if place.startswith(_LOOPBACK):
            item.add_marker(pytest.mark.xdist_group("loopback"))
        elif "module" in _scopes(item):
            item.add_marker(pytest.mark.xdist_group(place))
    if hasattr(config, "workerinput"):
        # The long ones first: at the end no process waits for the other.
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What has been imported and collected stays to the end. Each measured window begins with a collection of what is
    left over, which need not look through it."""
    if item.path not in _frozen_for:
        _frozen_for.add(item.path)
        gc.collect()
        gc.freeze()


def _scopes(item: pytest.Item) -> list[str]:
    """Of the fixtures that it uses: what is made once for a file is made in one process."""
    info = getattr(item, "_fixtureinfo", None)
    found = [] if info is None else [definition for each in info.name2fixturedefs.values() for definition in each]
    return [definition.scope for definition in found]
