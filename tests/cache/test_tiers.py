"""What several levels decide together: against a simple model, and what must hold for every policy."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import POLICIES, PROMOTIONS, WRITES, CacheLevel, Move, Place, TieredCache

KEYS = 13


class Model:
    """LRU levels as lists of keys, the most recent first."""

    def __init__(self, slots: Sequence[int], promotion: str, write: str) -> None:
        self.slots, self.promotion, self.through = slots, promotion, write == "through"
        self.levels: list[list[int]] = [[] for _ in slots]
        self.hit_once: list[set[int]] = [set() for _ in slots]

    def enter(self, level: int, key: int) -> None:
        held = self.levels[level]
        if len(held) == self.slots[level]:
            victim = held.pop()
            self.hit_once[level].discard(victim)
            below = self.levels[level + 1 :]
            if below and not (self.through and any(victim in lower for lower in below)):
                self.enter(level + 1, victim)
        held.insert(0, key)

    def touch(self, level: int, key: int) -> None:
        self.levels[level].remove(key)
        self.levels[level].insert(0, key)

    def read(self, key: int) -> int | None:
        level = next((number for number, held in enumerate(self.levels) if key in held), None)
        if level is None:
            return None
        second = key in self.hit_once[level]
        if level and (self.promotion == "hit" or (self.promotion == "second_hit" and second)):
            self.hit_once[level].discard(key)
            self.touch(level, key)
            if not self.through:
                self.levels[level].remove(key)
            self.enter(0, key)
        else:
            if level:
                self.hit_once[level].add(key)
            self.touch(level, key)
        return level

    def write(self, key: int) -> None:
        for level, held in enumerate(self.levels):
            if level and not self.through and key in held:
                held.remove(key)
                self.hit_once[level].discard(key)
        for level in range(len(self.levels) if self.through else 1):
            if key in self.levels[level]:
                self.touch(level, key)
            else:
                self.enter(level, key)

    def discard(self, key: int) -> bool:
        found = any(key in held for held in self.levels)
        for held, once in zip(self.levels, self.hit_once, strict=True):
            if key in held:
                held.remove(key)
            once.discard(key)
        return found


class Content:
    """What lies in every slot once the moves have been done in their order."""

    def __init__(self) -> None:
        self.slots: dict[Place, int] = {}

    def move(self, moves: Sequence[Move]) -> None:
        up = moves[:1] if moves and moves[0].up else ()
        assert not any(move.up for move in moves[1:])
        for move in moves:  # the promotion's source is read first, its target written last
            assert self.slots[move.source] == move.key or move in moves[1:]
        for move in moves[len(up) :]:
            assert self.slots[move.source] == move.key
            self.slots[move.target] = move.key
        for move in up:
            self.slots[move.target] = move.key


cascades = st.lists(st.integers(1, 5), min_size=1, max_size=4)
sequences = st.lists(st.tuples(st.sampled_from("rrrwwdk"), st.integers(0, KEYS - 1)), max_size=120)


def run(cache: TieredCache, content: Content, what: str, key: int) -> Any:
    if what == "r":
        found = cache.read(key)
        if found is None:
            return None
        content.move(found.moves)
        assert content.slots[found.place] == key
        return found.level
    if what == "d":
        return cache.discard(key)
    written = cache.write(key) if what == "w" else cache.keep(key)
    content.move(written.moves)
    for place in written.places:
        content.slots[place] = key
    return None


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("promotion", PROMOTIONS)
@settings(deadline=None)
@given(slots=cascades, sequence=sequences)
def test_lru_levels_against_a_simple_model(
    promotion: Any, write: Any, slots: list[int], sequence: list[tuple[str, int]]
) -> None:
    cache, content = TieredCache([CacheLevel(n) for n in slots], "lru", promotion, write), Content()
    model = Model(slots, promotion, write)
    for what, key in sequence:
        result = run(cache, content, what, key)
        if what == "r":
            assert result == model.read(key)
        elif what == "d":
            assert result == model.discard(key)
        elif what == "w" or model.read(key) is None:
            model.write(key)
        assert [set(cache.keys(level)) for level in range(len(slots))] == [set(held) for held in model.levels]
    reads = [what for what, _ in sequence].count("r")
    assert cache.counts[0].lookups == reads
    for upper, lower in zip(cache.counts, cache.counts[1:], strict=False):
        assert lower.lookups == upper.lookups - upper.hits


@pytest.mark.parametrize("policy", POLICIES)
@settings(deadline=None)
@given(
    slots=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    high=st.sampled_from([Fraction(1), Fraction(4, 5), Fraction(1, 3)]),
    promotion=st.sampled_from(PROMOTIONS),
    write=st.sampled_from(WRITES),
    sequence=sequences,
    requests=st.lists(st.integers(0, 3), min_size=1, max_size=5),
)
def test_nothing_is_lost_or_held_twice(
    policy: str,
    slots: list[int],
    high: Fraction,
    promotion: Any,
    write: Any,
    sequence: list[tuple[str, int]],
    requests: list[int],
) -> None:
    levels = [CacheLevel(count, high) for count in slots]
    cache, content = TieredCache(levels, policy, promotion, write), Content()
    for what, key in sequence:
        run(cache, content, what, key)
        check(cache, content, levels, write)


def check(cache: TieredCache, content: Content, levels: list[CacheLevel], write: str) -> None:
    held = [set(cache.keys(level)) for level in range(len(levels))]
    for number, (level, counts) in enumerate(zip(levels, cache.counts, strict=True)):
        assert level.capacity is not None and level.filled is not None
        assert cache.occupancy(number) == len(held[number]) <= level.filled <= level.capacity
        left = counts.demoted + counts.clean + counts.dropped + counts.discarded
        left += counts.promoted if write == "back" else 0
        assert counts.admitted == len(held[number]) + left
        last = number == len(levels) - 1
        assert (counts.dropped == 0 or last) and not (last and (counts.demoted or counts.clean))
        assert counts.clean == 0 or write == "through"
    everything = set().union(*held)
    if write == "back":
        assert sum(map(len, held)) == len(everything)
    for key in everything:
        places = cache.places(key)
        assert places[0] == cache.find(key) and [p.level for p in places] == sorted({p.level for p in places})
        for place in places:
            assert key in held[place.level] and content.slots[place] == key
            assert 0 <= place.slot < (levels[place.level].filled or 0)
    for upper, lower in zip(cache.counts, cache.counts[1:], strict=False):
        assert lower.lookups == upper.lookups - upper.hits
        if write == "back" and all(level.admit is None for level in levels):
            assert lower.admitted == upper.demoted


@pytest.mark.parametrize("policy", POLICIES)
@settings(deadline=None)
@given(
    slots=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    requests=st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=25),
    promotion=st.sampled_from(PROMOTIONS),
    write=st.sampled_from(WRITES),
)
def test_a_request_is_its_look_ups_and_then_its_blocks(
    policy: str, slots: list[int], requests: list[list[int]], promotion: Any, write: Any
) -> None:
    levels = [CacheLevel(count, admit=admit) for count, admit in zip(slots, [8, 10, 11], strict=False)]
    whole, parts = (TieredCache(levels, policy, promotion, write) for _ in range(2))
    content = Content()
    for keys in requests:
        before = [parts.find(key) for key in keys]
        found = whole.request(keys)
        assert [parts.peek(key) for key in keys] == before
        assert found == [-1 if place is None else place.level for place in before]
        for key in parts.order(keys):
            written = parts.keep(key, len(keys))
            content.move(written.moves)
            content.slots |= dict.fromkeys(written.places, key)
        assert whole.counts == parts.counts and whole.bypassed == parts.bypassed
        for level in range(len(levels)):
            assert list(whole.keys(level)) == list(parts.keys(level))
        check(parts, content, levels, write)


@given(cascades, st.lists(st.integers(0, 30), max_size=200))
def test_with_promotion_on_a_hit_lru_levels_are_one_lru(slots: list[int], keys: list[int]) -> None:
    """Hits of the first n levels are those of one level with their room."""
    cache = TieredCache([CacheLevel(count) for count in slots], "lru", "hit")
    singles = [TieredCache([CacheLevel(sum(slots[: n + 1]))]) for n in range(len(slots))]
    for key in keys:
        for each in (cache, *singles):
            if each.read(key) is None:
                each.write(key)
    total = 0
    for counts, single in zip(cache.counts, singles, strict=True):
        total += counts.hits
        assert total == single.counts[0].hits


def test_moves_come_from_the_bottom_up() -> None:
    cache = TieredCache([CacheLevel(1)] * 3)
    for key in (1, 2, 3):
        cache.write(key)
    places, moves = cache.write(4)
    assert moves == (Move(2, Place(1, 0), Place(2, 0)), Move(3, Place(0, 0), Place(1, 0)))
    assert places == (Place(0, 0),)
    assert cache.find(1) is None and cache.counts[2].dropped == 1


def test_a_promotion_changes_places_with_what_makes_room_for_it() -> None:
    cache = TieredCache([CacheLevel(1)] * 2, promotion="hit")
    cache.write(1)
    cache.write(2)
    found = cache.read(1)
    assert found is not None and (found.level, found.place) == (1, Place(0, 0))
    assert found.moves == (Move(1, Place(1, 0), Place(0, 0)), Move(2, Place(0, 0), Place(1, 0)))
    assert [move.up for move in found.moves] == [True, False]


def test_a_second_hit_is_one_since_the_block_came_down() -> None:
    cache = TieredCache([CacheLevel(1), CacheLevel(2)], promotion="second_hit")
    cache.write(1)
    cache.write(2)
    for expected in (1, 1, 0):
        found = cache.read(1)
        assert found is not None and found.level == expected
    cache.write(2)  # 1 comes down again
    assert [found.level for found in map(cache.read, (1, 1, 1)) if found] == [1, 1, 0]


def test_what_is_written_through_leaves_without_a_move() -> None:
    cache = TieredCache([CacheLevel(1), CacheLevel(2)], write="through")
    assert cache.write(1).places == (Place(0, 0), Place(1, 0))
    places, moves = cache.write(2)
    assert places == (Place(0, 0), Place(1, 1)) and moves == ()
    assert (cache.counts[0].clean, cache.counts[0].demoted) == (1, 0)


def test_a_block_without_a_copy_below_is_moved_though_written_through() -> None:
    cache = TieredCache([CacheLevel(2), CacheLevel(1)], write="through")
    cache.write(1)
    cache.write(2)  # takes the place of 1 below
    places, moves = cache.write(3)
    assert moves == (Move(1, Place(0, 0), Place(1, 0)),) and places == (Place(0, 0), Place(1, 0))
    assert cache.find(1) is None


def test_large_requests_enter_where_they_are_admitted() -> None:
    levels = [CacheLevel(4, admit=1), CacheLevel(4, admit=2)]
    cache = TieredCache(levels)
    assert cache.write(1, size=1).places[0].level == 0
    assert cache.write(2, size=2).places[0].level == 1
    assert cache.write(3, size=3) == ((), ()) and cache.bypassed == 1
    assert cache.write(1, size=2).places[0].level == 1  # and has left the top
    assert cache.places(1) == [Place(1, 1)] and cache.counts[0].discarded == 1
    cache.write(2, size=3)
    assert cache.find(2) is None, "an old content must not be found"


def test_a_block_is_promoted_to_where_its_request_comes_in() -> None:
    levels = [CacheLevel(2, admit=1), CacheLevel(1, admit=2), CacheLevel(4)]
    cache = TieredCache(levels, promotion="hit")
    cache.write(1, size=2)
    cache.write(2, size=2)
    found = cache.read(1, size=2)
    assert found is not None and (found.level, found.place) == (2, Place(1, 0))
    assert [(move.key, move.up) for move in found.moves] == [(1, True), (2, False)]
    assert cache.read(2, size=3) == (2, cache.find(2), ()), "too large to rise"
    found = cache.read(1, size=1)
    assert found is not None and found.place == Place(0, 0)


def test_high_water_is_rounded_down_and_never_nothing() -> None:
    assert [CacheLevel(n, Fraction(4, 5)).filled for n in (1, 4, 5, 9)] == [1, 3, 4, 7]
    assert CacheLevel(None, Fraction(4, 5)).filled is None


@pytest.mark.parametrize("bad", [{"policy": "mru"}, {"promotion": "always"}, {"write": "around"}])
def test_what_makes_no_cache_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such cache"):
        TieredCache([CacheLevel(1)], **bad)
    with pytest.raises(ValueError, match="at least one level"):
        TieredCache([])
