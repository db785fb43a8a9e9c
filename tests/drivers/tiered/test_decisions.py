"""What the waterfall decides, against a model that is too simple to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen_drivers.tiered.bookkeeping import Move, Place, Waterfall


class Model:
    """Lists of keys, most recent first."""

    def __init__(self, slots: list[int]) -> None:
        self.slots = slots
        self.levels: list[list[int]] = [[] for _ in slots]
        self.demoted = [0] * len(slots)
        self.dropped = 0

    def read(self, key: int) -> int | None:
        for number, level in enumerate(self.levels):
            if key in level:
                level.remove(key)
                level.insert(0, key)
                return number
        return None

    def write(self, key: int) -> None:
        for level in self.levels:
            if key in level:
                level.remove(key)
        self.levels[0].insert(0, key)
        for number, level in enumerate(self.levels):
            if len(level) > self.slots[number]:
                victim = level.pop()
                if number + 1 < len(self.levels):
                    self.levels[number + 1].insert(0, victim)
                    self.demoted[number] += 1
                else:
                    self.dropped += 1


sequences = st.lists(st.tuples(st.sampled_from("rrwwd"), st.integers(0, 12)), max_size=120)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), sequences)
def test_against_a_simple_model(slots: list[int], sequence: list[tuple[str, int]]) -> None:
    cache, model = Waterfall(slots), Model(slots)
    content: dict[Place, int] = {}
    for what, key in sequence:
        if what == "r":
            place = cache.read(key)
            assert (place.level if place else None) == model.read(key)
            assert place is None or content[place] == key
        elif what == "d":
            assert cache.discard(key) == any(key in level for level in model.levels)
            model.levels = [[k for k in level if k != key] for level in model.levels]
        else:
            moves, place = cache.write(key)
            model.write(key)
            for move in moves:
                assert content[move.source] == move.key
                content[move.target] = move.key
            content[place] = key
        for level, held in enumerate(model.levels):
            assert cache.occupancy(level) == len(held) <= slots[level]
            for k in held:
                where = cache.find(k)
                assert where is not None and where.level == level and 0 <= where.slot < slots[level]
                assert content[where] == k
    assert [counts.demoted for counts in cache.counts] == model.demoted
    assert sum(counts.dropped for counts in cache.counts) == model.dropped
    reads = sum(what == "r" for what, _ in sequence)
    assert cache.counts[0].lookups == reads
    for upper, lower in zip(cache.counts, cache.counts[1:], strict=False):
        assert lower.lookups == upper.lookups - upper.hits


def test_moves_come_from_the_bottom_up() -> None:
    cache = Waterfall([1, 1, 1])
    for key in (1, 2, 3):
        cache.write(key)
    moves, place = cache.write(4)
    assert moves == [Move(2, Place(1, 0), Place(2, 0)), Move(3, Place(0, 0), Place(1, 0))]
    assert place == Place(0, 0)
    assert cache.find(1) is None and cache.counts[2].dropped == 1


def test_a_read_keeps_a_block_from_moving_down() -> None:
    cache = Waterfall([2, 2])
    cache.write(1)
    cache.write(2)
    cache.read(1)
    cache.write(3)
    assert [cache.find(key).level for key in (1, 2, 3)] == [0, 1, 0]


def test_a_block_that_is_written_again_leaves_its_place_below() -> None:
    cache = Waterfall([1, 1])
    cache.write(1)
    cache.write(2)
    moves, place = cache.write(1)
    assert place == Place(0, 0)
    assert moves == [Move(2, Place(0, 0), Place(1, 0))]
    assert cache.counts[1].dropped == 0


def test_every_level_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Waterfall([1, 0])
