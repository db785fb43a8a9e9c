"""What a cache of several levels decides, without I/O: the `tiered` driver carries it out, a prediction counts."""

from kvscen.cache.policy import Policy
from kvscen.cache.tiers import (
    POLICIES,
    PROMOTIONS,
    WRITES,
    CacheLevel,
    Found,
    LevelCounts,
    Move,
    Place,
    Promotion,
    TieredCache,
    Write,
    Written,
)

__all__ = [
    "POLICIES",
    "PROMOTIONS",
    "WRITES",
    "CacheLevel",
    "Found",
    "LevelCounts",
    "Move",
    "Place",
    "Policy",
    "Promotion",
    "TieredCache",
    "Write",
    "Written",
]
