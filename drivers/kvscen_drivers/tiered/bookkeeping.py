"""The cache of a tiered tier, from its settings."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from kvscen.plugin import CacheLevel, DriverError, Tier, TieredCache, show_bytes
from kvscen_drivers.tiered.settings import admitted_bytes, capacity_of


def slots_of(tier: Tier, keys: int, stride_bytes: int) -> list[int]:
    """How many blocks each level holds of `keys` ones that take `stride_bytes` each. Raises DriverError."""
    return [_slots(tier, level, keys, stride_bytes) for level in range(len(tier.levels))]


def _slots(tier: Tier, level: int, keys: int, stride_bytes: int) -> int:
    capacity = capacity_of(tier, level)
    if capacity is None:
        return keys
    if capacity < stride_bytes:
        raise DriverError(
            f"tier `{tier.name}`: the level `{tier.levels[level].name}` may hold {show_bytes(capacity)}, "
            f"less than one block of {show_bytes(stride_bytes)} with its padding",
            "raise its capacity",
        )
    return min(capacity // stride_bytes, keys)


def cache_of(tier: Tier, slots: Sequence[int], block_bytes: int, request_blocks: int) -> TieredCache:
    """An empty cache with so many blocks on each level. `request_blocks` is the size of the requests that it is asked
    for, where they are alike. Raises DriverError."""
    settings, last = tier.settings, len(slots) - 1
    levels = []
    for level, count in enumerate(slots):
        admit = admitted_bytes(tier, level)
        levels.append(
            CacheLevel(
                count,
                Fraction(1) if level == last else settings.high_water_share,
                None if admit is None else admit // block_bytes,
            )
        )
    if all(level.admit is not None and level.admit < request_blocks for level in levels):
        raise DriverError(
            f"tier `{tier.name}`: no level admits requests of {show_bytes(request_blocks * block_bytes)}",
            "raise a size in `admit`",
        )
    return TieredCache(levels, settings.eviction, settings.promotion, settings.write)
