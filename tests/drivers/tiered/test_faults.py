"""Levels that fail under a tiered tier: what is lost is counted where it was lost, and nothing else is."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.execute import messages
from kvscen.execute.session import Session as Worker
from kvscen.plugin import (
    DISCARD,
    ERROR,
    LOOKUP,
    MISS,
    OK,
    READ,
    WRITE,
    CacheLevel,
    DriverError,
    Place,
    Store,
    Tier,
    TieredCache,
    Work,
)
from tests.drivers.tiered.levels import Session, ShuffledLane, ShuffledStore, open_tiered, shuffled_tier, tiered
from tests.drivers.tiered.test_in_a_worker import TARGETS, a_tier

KEYS, BLOCK = 16, 256


class Fails:
    """Which writes of which slots fail: as drawn for the n-th write of a slot, whatever is written before elsewhere."""

    def __init__(self, seed: int, share: float) -> None:
        self._seed, self._share = seed, share
        self._writes: Counter[Place] = Counter()

    def __call__(self, kind: int, place: Place) -> bool:
        if kind != WRITE:
            return False
        self._writes[place] += 1
        return bool(np.random.default_rng([self._seed, *place, self._writes[place]]).random() < self._share)


class Model:
    """One operation after the other: every place holds the last version of a block, or nothing that is good."""

    def __init__(self, cache: TieredCache, fails: Fails) -> None:
        self.cache, self.fails = cache, fails
        self.good: dict[Place, bool] = {}
        self.errors: Counter[tuple[int, int]] = Counter()
        self.lost: Counter[tuple[int, int]] = Counter()

    def do(self, kind: int, key: int) -> int:
        """The outcome."""
        cache = self.cache
        if kind == LOOKUP:
            return MISS if cache.find(key) is None else OK
        if kind == DISCARD:
            return OK if cache.discard(key) else MISS
        if kind == WRITE:
            written = cache.write(key)
            self._move(written.moves)
            first, ended = written.places[0], []
            for place in written.places:
                ended.append(self._write(place))
                if place != first and not ended[-1]:
                    self.errors[first.level, place.level] += 1
            return OK if all(ended) else ERROR
        found = cache.read(key)
        if found is None:
            return MISS
        self._move(found.moves)
        return OK if self.good[found.place] else ERROR

    def _move(self, moves: tuple[Any, ...]) -> None:
        rising = moves[:1] if moves and moves[0].up else ()
        was_good = [self.good[move.source] for move in rising]
        for move in moves[len(rising) :]:
            self._arrive(move, self.good[move.source])
        for move, good in zip(rising, was_good, strict=True):
            self._arrive(move, good)

    def _arrive(self, move: Any, good: bool) -> None:
        edge = move.source.level, move.target.level
        if not good:
            self.good[move.target] = False
        elif not self._write(move.target):
            self.lost[edge] += 1
        self.errors[edge] += not self.good[move.target]

    def _write(self, place: Place) -> bool:
        self.good[place] = not self.fails(WRITE, place)
        return self.good[place]


operations = st.tuples(st.sampled_from([READ, READ, WRITE, WRITE, WRITE, LOOKUP, DISCARD]), st.integers(0, KEYS - 1))


@settings(max_examples=150, deadline=None)
@given(
    slots=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    sequence=st.lists(operations, max_size=120),
    depth=st.sampled_from([1, 3, 20]),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.05, 0.3, 1.0]),
    how=st.fixed_dictionaries(
        {
            "policy": st.sampled_from(TieredCache.policies),
            "promotion": st.sampled_from(TieredCache.promotions),
            "write": st.sampled_from(TieredCache.writes),
        }
    ),
    high_water=st.sampled_from([Fraction(1), Fraction(3, 5)]),
)
def test_what_is_lost_is_what_a_model_loses(
    slots: list[int],
    sequence: list[tuple[int, int]],
    depth: int,
    seed: int,
    share: float,
    how: dict[str, Any],
    high_water: Fraction,
) -> None:
    """Each operation's outcome, each loss on its edge and in its level, at any depth and in any order of the I/O. The
    session compares the content of every read."""
    names = [shuffled_tier(f"l{level}") for level in range(len(slots))]
    more = {"eviction": how["policy"], "promotion": how["promotion"], "write": how["write"]}
    tier = tiered(names, [count * BLOCK for count in slots], high_water_share=high_water, **more)
    stores = [ShuffledStore(seed + level) for level in range(len(slots))]
    store = open_tiered(tier, stores, BLOCK, KEYS)
    last = len(slots) - 1
    capacities = [
        CacheLevel(min(n, KEYS), high_water if level < last else Fraction(1)) for level, n in enumerate(slots)
    ]
    limits = [level.filled or 0 for level in capacities]
    fails = Fails(seed, share)

    def fail(level: int, kind: int, slot: int) -> bool:
        assert slot < capacities[level].capacity, "every block lies within its level"  # type: ignore[operator]
        assert all(held <= limit for held, limit in zip(store.occupancy(), limits, strict=True))
        return fails(kind, Place(level, slot))

    for level, below in enumerate(stores):
        below.fails = lambda kind, slot, level=level: fail(level, kind, slot)
    model = Model(TieredCache(capacities, **how), Fails(seed, share))
    session = Session(store, BLOCK, KEYS, depth)
    expected = [model.do(*each) for each in sequence]
    assert [done.outcome for done in session.run(sequence)] == expected
    rows = {(row["tier"], row["to_tier"]): row for row in store.edges()}
    for level, limit in enumerate(limits):
        row, counts = rows[f"l{level}", None], model.cache.counts[level]
        held = model.cache.occupancy(level)
        assert row["occupancy_bytes"] == held * BLOCK <= limit * BLOCK
        left = counts.demoted + counts.clean + counts.dropped + counts.discarded
        moved = 0 if how["write"] == "through" else counts.promoted
        assert counts.admitted == held + left + moved, "every block that came in is accounted for"
        there = [place for key in range(KEYS) for place in model.cache.places(key) if place.level == level]
        assert row["lost"] == sum(not model.good[place] for place in there)
    for (source, target), row in rows.items():
        if target is not None:
            edge = int(source[1:]), int(target[1:])
            assert (row["errors"], row["lost"]) == (model.errors[edge], model.lost[edge])
            assert (row["first_error"] is None) == (row["errors"] == 0)
    # What is not lost is there, whatever failed around it.
    asked = [(READ, key) for key in range(KEYS)]
    assert [done.outcome for done in session.run(asked)] == [model.do(*each) for each in asked]
    session.close()


def a_session(slots: list[int], depth: int = 4, **more: Any) -> tuple[Session, list[ShuffledStore]]:
    tier = tiered([shuffled_tier(f"l{i}") for i in range(len(slots))], [count * BLOCK for count in slots], **more)
    stores = [ShuffledStore(1 + i) for i in range(len(slots))]
    return Session(open_tiered(tier, stores, BLOCK, KEYS), BLOCK, KEYS, depth), stores


def test_a_lost_block_says_between_which_levels_and_why() -> None:
    session, stores = a_session([1, 4])
    stores[1].fails = lambda kind, slot: kind == WRITE
    session.run([(WRITE, 1), (WRITE, 2)])
    session.store.settle()
    upper, lower, edge = session.store.edges()
    assert (upper["lost"], lower["lost"], edge["lost"]) == (0, 1, 1)
    assert (
        edge["first_error"] == lower["first_error"] == "write of slot 0 of `l1` (256 bytes): EIO (Input/output error)"
    )
    [lost] = session.run([(READ, 1)])
    assert lost.outcome == ERROR
    assert session.store.locate(1) == "block 1, lost between `l0` and `l1` as slot 0 of `l1` could not be written"
    session.run([(WRITE, 3)])
    assert session.store.edges()[2]["errors"] == 2, "block 2 is lost too"
    stores[0].fails = lambda kind, slot: kind == WRITE
    [failed] = session.run([(WRITE, 5)])
    assert failed.outcome == ERROR and session.store.locate(5) == "block 5 in `l0`, slot 0 of `l0`"
    assert session.store.locate(9) == "block 9"


def test_a_block_that_was_lost_is_lost_once() -> None:
    """On its way further down it is a move that fails, and no second loss."""
    session, stores = a_session([1, 1, 4])
    stores[1].fails = lambda kind, slot: kind == WRITE
    session.run([(WRITE, 1), (WRITE, 2)])
    session.store.settle()
    stores[1].fails = lambda kind, slot: False
    session.run([(WRITE, 3)])
    *_, first, second = session.store.edges()
    assert (first["lost"], first["errors"], second["lost"], second["errors"]) == (1, 1, 0, 1)
    assert second["first_error"] == first["first_error"]


class BrokenStore(ShuffledStore):
    """Raises, once there were so many operations."""

    def __init__(self, seed: int, error: Exception, after: int) -> None:
        super().__init__(seed)
        self.error, self.left = error, after

    def lane(self, index: int, arena: Any) -> ShuffledLane:
        return BrokenLane(self, arena)


class BrokenLane(ShuffledLane):
    store: BrokenStore

    def _do(self, op: np.void) -> tuple[int, int, int, int, int]:
        self.store.left -= 1
        if self.store.left < 0:
            raise self.store.error
        return super()._do(op)


@pytest.mark.parametrize("error", [OSError(errno.ENOTCONN, "gone"), DriverError("the device is gone"), KeyError("x")])
def test_what_a_level_raises_names_the_level(error: Exception) -> None:
    tier = tiered([shuffled_tier("l0"), shuffled_tier("l1")], [BLOCK, 4 * BLOCK])
    stores: list[Store] = [ShuffledStore(1), BrokenStore(2, error, 3)]
    session = Session(open_tiered(tier, stores, BLOCK, KEYS), BLOCK, KEYS, 4)
    with pytest.raises(type(error)) as raised:
        session.run([(WRITE, key) for key in range(8)])
        session.store.settle()
    assert raised.value.__notes__ == ["in the level `l1`"]


class IdleLane(ShuffledLane):
    def submit(self, ops: np.ndarray) -> int:
        return 0


class IdleStore(ShuffledStore):
    def lane(self, index: int, arena: Any) -> IdleLane:
        return IdleLane(self, arena)


def test_a_level_that_takes_nothing_is_an_error_and_no_hang() -> None:
    tier = tiered([shuffled_tier("l0"), shuffled_tier("l1")], [BLOCK, 4 * BLOCK])
    session = Session(open_tiered(tier, [ShuffledStore(1), IdleStore(2)], BLOCK, KEYS), BLOCK, KEYS, 1)
    with pytest.raises(DriverError, match="level `l1` accepts no operation although none is in flight"):
        session.run([(WRITE, 0), (WRITE, 1)])


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "the driver raised ZeroDivisionError: a bug in the fake driver (in the level `lower`)"),
        ("unknown_id", "the level `lower` completed an operation that it was not given"),
        ("twice", "the level `lower` completed an operation that it was not given"),
    ],
)
def test_a_level_that_breaks_in_a_trial(worker: Worker, fault: str, reason: str) -> None:
    replies = trial(worker, a_tier(fault, after=90))
    assert isinstance(replies[-1], messages.Failed) and replies[-1].status == "error"
    assert reason in replies[-1].reason


def trial(worker: Worker, tier: Tier) -> list[messages.Reply]:
    """Up to the first request that fails."""
    work = Work("write", 1024, 4, 40, depth=4, operations=200)
    asked: list[messages.Request] = [
        messages.Open("p", tier, work, 0, TARGETS, 1),
        messages.Prepare("p"),
        messages.Arm("p", 7),
        messages.Go(0),
    ]
    replies: list[messages.Reply] = []
    for request in asked:
        replies.append(worker.handle(request))
        if isinstance(replies[-1], messages.Failed):
            break
    return replies
