"""`tiered`: a cache over several tiers that moves bytes at every edge, real ones where the tiers are.

A block that is written enters the top level; what a level's policy pushes out goes down, really: it is read from the
level above and written to the one below. Off the last level it is dropped. A read that hits names the level that had
the block in `level` of its completion; where `promotion` says so, the block is first brought up and then read there. A
read of a block that is nowhere is a miss of 0 bytes.

Decisions are taken in the order in which operations are submitted (kvscen.cache), the I/O follows as soon as what it
depends on has ended (`mover`): so hits, misses and bytes are the same whatever the depth and the speed of the levels.
This is why one thread submits.

Over levels that are all simulated it is simulated too (`virtual`): the same decisions and moves, at computed times.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import attrs

from kvscen.plugin import Driver, DriverError, Finding, Footprint, Store, Tier, TieredCache, Work
from kvscen_drivers.gpu import bounce
from kvscen_drivers.tiered.bookkeeping import cache_of, slots_of
from kvscen_drivers.tiered.settings import (
    RULES,
    TieredSettings,
    capacity_of,
    folders_of,
    lint,
    request_blocks,
    shared_folders,
)
from kvscen_drivers.tiered.store import BOUNCE_BUFFERS
from kvscen_drivers.tiered.virtual import open_store

__all__ = ["TieredDriver", "TieredSettings"]


class TieredDriver(Driver):
    name = "tiered"
    summary = "A cache over several tiers: blocks that a level has no room for move down, level by level."
    settings = TieredSettings
    memory = frozenset({"dram", "vram"})
    measures = bounce.MEASURES
    max_processes = 1  # one bookkeeping
    levels_setting = "levels"
    rules = RULES

    def lint(self, tier: Tier, work: Work) -> Iterable[Finding]:
        return lint(tier, work)

    def footprint(self, tier: Tier, work: Work) -> Footprint:
        """Its own bounce buffers only: what the levels take, their drivers say. Those of a simulation are no memory."""
        return Footprint(memory_bytes=0 if tier.virtual else BOUNCE_BUFFERS * work.block_bytes)

    def level_work(self, tier: Tier, work: Work, level: int) -> Work:
        """The same operations on the blocks that the level may hold. Levels have their buffers in host memory; what is
        to be on a GPU is bounced above them."""
        capacity = capacity_of(tier, level)
        slots = work.keys if capacity is None else min(max(capacity // work.block_bytes, 1), work.keys)
        return attrs.evolve(work, keys=slots, memory=work.memory if tier.virtual else "dram")

    def cache(self, tier: Tier, work: Work) -> TieredCache:
        slots = slots_of(tier, work.keys, work.block_bytes)
        return cache_of(tier, slots, work.block_bytes, request_blocks(work))

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        really = [(name, os.path.realpath(path)) for name, path in folders_of(tier)]
        for message in shared_folders(really):  # by another name, which the text does not show
            raise DriverError(
                f"tier `{tier.name}`: {message}", "give each of them a `path` of its own, beside the others"
            )
        if tier.virtual:
            return open_store(tier, work, levels)
        return bounce.through_host(tier.settings.gpu, work, lambda own: open_store(tier, own, levels))
