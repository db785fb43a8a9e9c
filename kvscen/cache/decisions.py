"""What is asked of a cache of several levels, and what it decides."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import attrs


class Place(NamedTuple):
    """A slot of a level: 0 <= slot < the level's capacity."""

    level: int
    slot: int


class Move(NamedTuple):
    """A block's content is read at `source` and written at `target`: below it (a demotion) or above (a promotion)."""

    key: int
    source: Place
    target: Place

    @property
    def up(self) -> bool:
        return self.target.level < self.source.level


class Found(NamedTuple):
    """A read that hits. `level` had the block; after `moves` it is to be read at `place`, which is above if it was
    promoted. A promotion is the first of the moves and its source is to be read before the others are done: what
    makes room for it may be written there.
    """

    level: int
    place: Place
    moves: tuple[Move, ...]


class Written(NamedTuple):
    """After `moves`, the block is to be written at each of `places` (the upper first); they are none if no level takes
    it, or if it is there and need not be written.
    """

    places: tuple[Place, ...]
    moves: tuple[Move, ...]


@attrs.frozen
class CacheLevel:
    """`capacity` in blocks, None: no limit. It is filled up to `high_water` of that, rounded down, and at least with
    one block. Of larger requests than `admit` blocks nothing enters from outside: their blocks enter the next level.
    """

    capacity: int | None
    high_water: Fraction = Fraction(1)
    admit: int | None = None

    @property
    def filled(self) -> int | None:
        """The most blocks that it holds."""
        if self.capacity is None:
            return None
        return min(self.capacity, max(1, math.floor(self.capacity * self.high_water)))


@attrs.define
class LevelCounts:
    """What was decided at one level. Of the blocks that were `admitted` (written into the level or moved there, and not
    again when they were there) some are still held, and the others were

    demoted    moved down
    clean      let go, as a level below has them
    dropped    let go, as nothing is below
    promoted   moved up (writing through, their copy stays)
    discarded  let go because somebody said so, or because the block was written anew into another level

    `lookups` are those that no upper level could answer.
    """

    lookups: int = 0
    hits: int = 0
    admitted: int = 0
    demoted: int = 0
    clean: int = 0
    dropped: int = 0
    promoted: int = 0
    discarded: int = 0
