"""Which block is where: the decisions of a tiered cache, taken one after the other, without any I/O.

The levels hold different blocks (exclusive caching). A block that is written enters the top level as its most recent
one. A level that has no slot left sends its least recent block down, where it enters as the most recent one (DEMOTE of
Wong and Wilkes, "My Cache or Yours?", USENIX ATC 2002); off the last level it is dropped. A read finds the block in its
level and makes it that level's most recent one; it stays there. Everything follows from the order of the calls alone,
nothing from time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import attrs


@attrs.frozen
class Place:
    """A slot of a level."""

    level: int
    slot: int


@attrs.frozen
class Move:
    """A block that goes down: its content is read at `source` and written at `target`."""

    key: int
    source: Place
    target: Place


@attrs.define
class LevelCounts:
    """What was decided at one level. A block is `admitted` when it is written into the level or comes from above, and
    not again when it is written while it is there; it is `demoted` when it goes down and `dropped` when nothing is
    below.
    """

    lookups: int = 0
    hits: int = 0
    admitted: int = 0
    demoted: int = 0
    dropped: int = 0


class _Level:
    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.held: OrderedDict[int, int] = OrderedDict()  # key -> slot, the least recent first
        self._free: list[int] = []
        self._fresh = 0  # slots from here on were never taken

    @property
    def full(self) -> bool:
        return len(self.held) == self.slots

    def take(self, key: int) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot, self._fresh = self._fresh, self._fresh + 1
        self.held[key] = slot
        return slot

    def release(self, key: int) -> int:
        slot = self.held.pop(key)
        self._free.append(slot)
        return slot


class Waterfall:
    """An LRU waterfall over levels of `slots` slots each (every one at least 1)."""

    def __init__(self, slots: Sequence[int]) -> None:
        if not slots or min(slots) < 1:
            raise ValueError("every level needs at least one slot")
        self._levels = [_Level(count) for count in slots]
        self._where: dict[int, int] = {}  # key -> level
        self.counts = tuple(LevelCounts() for _ in slots)

    def reset_counts(self) -> None:
        self.counts = tuple(LevelCounts() for _ in self._levels)

    def occupancy(self, level: int) -> int:
        """Blocks that the level holds now."""
        return len(self._levels[level].held)

    def find(self, key: int) -> Place | None:
        """Where the block is. Counts and changes nothing."""
        level = self._where.get(key)
        return None if level is None else Place(level, self._levels[level].held[key])

    def read(self, key: int) -> Place | None:
        """Look a block up from the top down and touch it. None: no level has it."""
        found = self._where.get(key)
        for level, counts in enumerate(self.counts):
            counts.lookups += 1
            if level == found:
                counts.hits += 1
                held = self._levels[level].held
                held.move_to_end(key)
                return Place(level, held[key])
        return None

    def write(self, key: int) -> tuple[list[Move], Place]:
        """Where a block is to be written, and the moves that make room for it, in the order in which they are to be
        done.
        """
        top = self._levels[0]
        level = self._where.get(key)
        if level == 0:
            top.held.move_to_end(key)
            return [], Place(0, top.held[key])
        if level is not None:
            self._levels[level].release(key)
        moves = self._make_room(0)
        return moves, self._enter(key, 0)

    def discard(self, key: int) -> bool:
        """Forget a block. False: no level had it."""
        level = self._where.pop(key, None)
        if level is None:
            return False
        self._levels[level].release(key)
        return True

    def _enter(self, key: int, level: int) -> Place:
        slot = self._levels[level].take(key)
        self._where[key] = level
        self.counts[level].admitted += 1
        return Place(level, slot)

    def _make_room(self, level: int) -> list[Move]:
        """Free one slot at `level` if it is full, and one below for the block that leaves it."""
        if not self._levels[level].full:
            return []
        victim = next(iter(self._levels[level].held))
        below = level + 1
        if below == len(self._levels):
            self.discard(victim)
            self.counts[level].dropped += 1
            return []
        moves = self._make_room(below)
        source = Place(level, self._levels[level].release(victim))
        target = self._enter(victim, below)
        self.counts[level].demoted += 1
        return [*moves, Move(victim, source, target)]
