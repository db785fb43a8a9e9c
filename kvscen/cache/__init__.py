"""What a cache of several levels decides, without I/O: the `tiered` driver carries it out, a prediction counts."""

from kvscen.cache.decisions import CacheLevel, Found, LevelCounts, Move, Place, Written
from kvscen.cache.policy import Policy
from kvscen.cache.tiers import POLICIES, PROMOTIONS, WRITES, Promotion, TieredCache, Write

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
