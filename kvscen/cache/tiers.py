"""Which block is where: the decisions of a cache of several levels, taken one after the other, without any I/O.

A block that is written enters the top level. What its policy pushes out of a level goes down into the next one, where
it enters like any new block (DEMOTE of Wong and Wilkes, "My Cache or Yours?", USENIX ATC 2002); off the last level it
is dropped. A read finds the block in the uppermost level that has it; `promotion` says whether it is then brought up.

Writing `back`, the levels hold different blocks. Writing `through`, what is written enters every level at once, what is
promoted leaves its copy below, and what leaves a level while a lower one has it need not move.

Everything follows from the order of the calls alone, nothing from time: so a prediction and a run agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal

from kvscen.cache.arc import ARC
from kvscen.cache.decisions import CacheLevel, Found, LevelCounts, Move, Place, Written
from kvscen.cache.policy import Policy
from kvscen.cache.recency import FIFO, LFU, LRU, TailFirst
from kvscen.cache.s3fifo import S3FIFO

#: The policies, by name.
POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (LRU, TailFirst, FIFO, LFU, S3FIFO, ARC)}

Promotion = Literal["never", "hit", "second_hit"]
Write = Literal["back", "through"]
PROMOTIONS: tuple[Promotion, ...] = ("never", "hit", "second_hit")
WRITES: tuple[Write, ...] = ("back", "through")


_NOTHING = Written((), ())
# Named tuples are made in Python, three times as slowly as by this: and every decision makes one.
_new = tuple.__new__


class TieredCache:
    """The bookkeeping. `levels` from the top down. Raises ValueError for what makes no cache.

    A block at a time: `read`, `write`, `discard`. A request at once: `peek` or `look` at all of its blocks, then `keep`
    each of them in the `order` of the policy; `request` does both and leaves out what only I/O wants to know.
    """

    policies: ClassVar[tuple[str, ...]] = tuple(POLICIES)
    promotions: ClassVar[tuple[str, ...]] = PROMOTIONS
    writes: ClassVar[tuple[str, ...]] = WRITES

    def __init__(
        self,
        levels: Sequence[CacheLevel],
        policy: str = "lru",
        promotion: Promotion = "never",
        write: Write = "back",
    ) -> None:
        if not levels:
            raise ValueError("a cache needs at least one level")
        if policy not in POLICIES or promotion not in PROMOTIONS or write not in WRITES:
            raise ValueError(f"no such cache: policy {policy}, promotion {promotion}, write {write}")
        make = POLICIES[policy]
        self._policies = [make(level.filled) for level in levels]
        self._admit = [level.admit for level in levels]
        self._last = len(levels) - 1
        self._through = write == "through"
        self._promotion = promotion
        #: Of each level, what was hit once since it came there: kept only where the second hit promotes.
        self._hit_once: list[set[int]] = [set() for _ in levels]
        self._tail_first = make.tail_first
        self._heads = make.HEADS
        self._request: int | None = None
        self._moves: list[Move] = []
        self.reset_counts()

    def reset_counts(self) -> None:
        self.counts = tuple(LevelCounts() for _ in self._policies)
        self._each = list(zip(range(len(self.counts)), self._policies, self.counts, strict=True))
        #: Blocks that no level took, being of too large a request.
        self.bypassed = 0

    def occupancy(self, level: int) -> int:
        """Blocks that the level holds now."""
        return len(self._policies[level])

    def keys(self, level: int) -> Iterator[int]:
        """The blocks that the level holds now, in no order."""
        return iter(self._policies[level].where)

    def find(self, key: int) -> Place | None:
        """Where the block is, in the uppermost level that has it. Counts and changes nothing."""
        for level, policy in enumerate(self._policies):
            node = policy.where.get(key)
            if node is not None:
                return Place(level, node - self._heads)
        return None

    def places(self, key: int) -> list[Place]:
        """Everywhere that the block is, the uppermost first."""
        nodes = ((level, policy.where.get(key)) for level, policy in enumerate(self._policies))
        return [Place(level, node - self._heads) for level, node in nodes if node is not None]

    # -- a block at a time

    def read(self, key: int, request: int | None = None, size: int = 1) -> Found | None:
        """Look a block up and touch it. None: no level has it. Blocks of one `request`, of `size` blocks, belong
        together where they come in a row.
        """
        if self._tail_first:
            self._belongs(request)
        for level, policy, counts in self._each:
            counts.lookups += 1
            node = policy.where.get(key)
            if node is not None:
                counts.hits += 1
                if level and (target := self._rises(level, key, size)) is not None:
                    node = self._promote(level, target, key)
                    return Found(level, Place(target, node - self._heads), self._taken())
                policy.touch(node)
                return _new(Found, (level, _new(Place, (level, node - self._heads)), ()))
        return None

    def write(self, key: int, request: int | None = None, size: int = 1) -> Written:
        """Where a block is to be written, of a request of `size` blocks."""
        if self._tail_first:
            self._belongs(request)
        nodes = self._write(key, size)
        if not nodes:
            return _NOTHING
        heads = self._heads
        places = tuple([_new(Place, (level, node - heads)) for level, node in nodes])
        return _new(Written, (places, self._taken()))

    def discard(self, key: int) -> bool:
        """Forget a block. False: no level had it."""
        return self._discard(key, range(self._last + 1))

    # -- a request at once

    def peek(self, key: int) -> Place | None:
        """Look a block up without touching it: one of a request whose look-ups all come before its touches."""
        for level, policy, counts in self._each:
            counts.lookups += 1
            node = policy.where.get(key)
            if node is not None:
                counts.hits += 1
                return Place(level, node - self._heads)
        return None

    def look(self, keys: Sequence[int]) -> list[int]:
        """`peek` at each block: the level that has it, -1 where none does."""
        top = self._policies[0].where
        if not self._last:
            found = [0 if key in top else -1 for key in keys]
        else:
            wheres = [policy.where for policy in self._policies]
            found = [next((level for level, where in enumerate(wheres) if key in where), -1) for key in keys]
        left = len(keys)
        for level, counts in enumerate(self.counts):
            counts.lookups += left
            hits = found.count(level)
            counts.hits += hits
            left -= hits
        return found

    def order(self, keys: Sequence[int]) -> Iterable[int]:
        """The order in which the blocks of a request are touched."""
        return reversed(keys) if self._tail_first else keys

    def keep(self, key: int, size: int = 1) -> Written:
        """Touch a block that a level has, as a read that hits does; let it in as one that is written if none has."""
        if self._tail_first:
            self._belongs(None)
        nodes = self._keep(key, size)
        return Written(tuple(Place(level, node - self._heads) for level, node in nodes), self._taken())

    def request(self, keys: Sequence[int]) -> list[int]:
        """All look-ups of a request against the state before it, then `keep` of each block. Returns as `look`."""
        found = self.look(keys)
        size = len(keys)
        top, tail_first = self._policies[0], self._tail_first
        where, touch = top.where, top.touch
        for key in self.order(keys):
            if tail_first:
                self._belongs(None)
            node = where.get(key)
            if node is not None:
                touch(node)
            else:
                self._keep(key, size)
        self._moves.clear()
        return found

    # -- inside

    def _belongs(self, request: int | None) -> None:
        if request is None or request != self._request:
            self._request = request
            for policy in self._policies:
                policy.begin()

    def _taken(self) -> tuple[Move, ...]:
        if not self._moves:
            return ()
        moves = tuple(self._moves)
        self._moves.clear()
        return moves

    def _entrance(self, size: int) -> int | None:
        """The level where a block of a request of `size` blocks comes in."""
        if self._admit[0] is None:
            return 0
        for level, most in enumerate(self._admit):
            if most is None or size <= most:
                return level
        return None

    def _rises(self, level: int, key: int, size: int) -> int | None:
        """Where a block that was hit at this level is promoted to: where a request of its size comes in."""
        if self._promotion == "never":
            return None
        entrance = self._entrance(size)
        if entrance is None or entrance >= level:
            return None
        once = self._hit_once[level]
        if self._promotion == "second_hit" and key not in once:
            once.add(key)
            return None
        return entrance

    def _promote(self, level: int, target: int, key: int) -> int:
        """Bring a block up. Returns its node there."""
        policy = self._policies[level]
        self.counts[level].promoted += 1
        self._hit_once[level].discard(key)
        if self._through:
            source = policy.where[key]
            policy.touch(source)
        else:
            source = policy.remove(key)
        first = len(self._moves)
        node = self._enter(target, key)
        self._moves.insert(first, Move(key, Place(level, source - self._heads), Place(target, node - self._heads)))
        return node

    def _keep(self, key: int, size: int) -> Sequence[tuple[int, int]]:
        for level, policy in enumerate(self._policies):
            node = policy.where.get(key)
            if node is not None:
                if level and (target := self._rises(level, key, size)) is not None:
                    self._promote(level, target, key)
                else:
                    policy.touch(node)
                return ()
        return self._write(key, size)

    def _write(self, key: int, size: int) -> Sequence[tuple[int, int]]:
        """(level, node) of every place where the block is to be written."""
        entrance = self._entrance(size)
        if entrance is None:
            self.bypassed += 1
            self._discard(key, range(self._last + 1))  # what is cached would be old
            return ()
        last = self._last if self._through else entrance
        for level, policy, _ in self._each:
            if key in policy.where and not entrance <= level <= last:
                self._discard(key, (level,))
        nodes = []
        # From the top down: what an upper level pushes out may push out below, but nothing comes up again.
        for level in range(entrance, last + 1):
            policy = self._policies[level]
            node = policy.where.get(key)
            if node is None:
                node = self._enter(level, key)
            else:
                policy.touch(node)
            nodes.append((level, node))
        return nodes

    def _discard(self, key: int, levels: Iterable[int]) -> bool:
        found = False
        for level in levels:
            if key in self._policies[level].where:
                self._policies[level].remove(key)
                self._hit_once[level].discard(key)
                self.counts[level].discarded += 1
                found = True
        return found

    def _enter(self, level: int, key: int, down: bool = False) -> int:
        policy = self._policies[level]
        node = policy.arrive(key) if down else policy.insert(key)
        self.counts[level].admitted += 1
        if policy.evicted:
            evicted, policy.evicted = policy.evicted, []
            for victim, old in evicted:
                self._leave(level, victim, old)
        return node

    def _leave(self, level: int, victim: int, node: int) -> None:
        """A block was pushed out of `level`. What makes room for it below comes before its own move."""
        counts = self.counts[level]
        if self._promotion == "second_hit":
            self._hit_once[level].discard(victim)
        below = level + 1
        if level == self._last:
            counts.dropped += 1
        elif self._through and self._below(level, victim):
            counts.clean += 1
        else:
            counts.demoted += 1
            heads = self._heads
            source = _new(Place, (level, node - heads))
            target = _new(Place, (below, self._enter(below, victim, down=True) - heads))
            self._moves.append(_new(Move, (victim, source, target)))

    def _below(self, level: int, key: int) -> bool:
        """Whether a level under this one has the block."""
        for lower in range(level + 1, self._last + 1):  # noqa: SIM110 - half the time of any()
            if key in self._policies[lower].where:
                return True
        return False
