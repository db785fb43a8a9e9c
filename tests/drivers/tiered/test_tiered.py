"""A tiered tier over real levels: every byte checked, every decision compared with the bookkeeping alone."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.plugin import (
    COMPLETION,
    DISCARD,
    ERROR,
    LOOKUP,
    MISS,
    OK,
    OPERATION,
    READ,
    WRITE,
    CacheLevel,
    DriverError,
    Layout,
    Store,
    Tier,
    TieredCache,
    Work,
)
from kvscen_drivers.posix.driver import PosixSettings
from kvscen_drivers.tiered import TieredDriver
from kvscen_drivers.tiered.store import BOUNCE_BUFFERS, TieredStore

from .levels import Done, Session, ShuffledStore, open_memory, open_tiered, shuffled_tier, tiered

KEYS = 24
BLOCK = 512
Sequence = list[tuple[int, int]]


def predicted(
    slots: list[int], sequence: Sequence, request: int = 1, **how: Any
) -> tuple[list[tuple[int, int]], TieredCache]:
    """(outcome, level) of every operation by the bookkeeping alone."""
    high = how.pop("high_water", Fraction(1))
    levels = [CacheLevel(count, high if level + 1 < len(slots) else Fraction(1)) for level, count in enumerate(slots)]
    cache = TieredCache(levels, **how)
    results = []
    for number, (kind, key) in enumerate(sequence):
        if kind == WRITE:
            cache.write(key, number // request)
            results.append((OK, 0))
        elif kind == DISCARD:
            results.append((OK if cache.discard(key) else MISS, 0))
        elif kind == LOOKUP:
            place = cache.find(key)
            results.append((MISS, 0) if place is None else (OK, place.level))
        else:
            found = cache.read(key, number // request)
            results.append((MISS, 0) if found is None else (OK, found.level))
    return results, cache


def check(
    store: Store, done: list[Done], slots: list[int], sequence: Sequence, block: int, request: int = 1, **how: Any
) -> None:
    through = how.get("write") == "through"
    expected, cache = predicted(slots, sequence, request, **how)
    assert [(d.outcome, d.level) for d in done] == expected
    for d in done:
        moves = d.outcome == OK and d.kind in (READ, WRITE)
        assert d.nbytes == (block if moves else 0)
    rows = {(row["tier"], row["to_tier"]): row for row in store.edges()}
    names = [row["tier"] for row in rows.values() if row["to_tier"] is None]
    writes = sum(d.kind == WRITE for d in done)
    for level, name in enumerate(names):
        row, counts = rows[name, None], cache.counts[level]
        assert (row["lookups"], row["hits"]) == (counts.lookups, counts.hits)
        assert (row["admitted"], row["evicted"]) == (counts.admitted, counts.demoted + counts.clean + counts.dropped)
        assert row["occupancy_bytes"] == cache.occupancy(level) * block <= slots[level] * block
        assert (row["demoted_bytes"], row["promoted_bytes"]) == (counts.demoted * block, counts.promoted * block)
        assert row["errors"] == 0
        if level + 1 < len(names):
            edge = rows[name, names[level + 1]]
            copied = writes if through and level == 0 else 0
            assert edge["operations"] == counts.demoted + copied and edge["demoted_bytes"] == counts.demoted * block
            assert edge["through_bytes"] == copied * block and edge["promoted_bytes"] == 0
            assert edge["errors"] == 0 and (edge["latency_max_ns"] is not None) == (counts.demoted + copied > 0)
        if level and counts.promoted:
            edge = rows[name, names[0]]
            assert edge["operations"] == counts.promoted and edge["promoted_bytes"] == counts.promoted * block
            assert (edge["demoted_bytes"], edge["through_bytes"], edge["errors"]) == (0, 0, 0)
    read_hits = sum(d.kind == READ and d.outcome == OK for d in done)
    moved = sum(counts.demoted + counts.promoted for counts in cache.counts)
    assert sum(rows[name, None]["read_bytes"] for name in names) == (read_hits + moved) * block
    copies = len(names) if through else 1
    assert sum(rows[name, None]["write_bytes"] for name in names) == (writes * copies + moved) * block


operations = st.tuples(st.sampled_from([READ, READ, WRITE, WRITE, WRITE, LOOKUP, DISCARD]), st.integers(0, KEYS - 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.lists(operations, max_size=150),
    st.sampled_from([1, 2, 3, 8, 40]),
    st.integers(0, 10**6),
)
def test_content_and_counts_do_not_depend_on_timing(
    slots: list[int], sequence: Sequence, depth: int, seed: int
) -> None:
    """Whatever the order in which the levels finish, the result is that of one operation after the other."""
    tier = tiered([shuffled_tier(f"l{i}") for i in range(len(slots))], [count * BLOCK for count in slots])
    stores = [ShuffledStore(seed + i, in_flight=1 + (seed + i) % 7) for i in range(len(slots))]
    store = open_tiered(tier, stores, BLOCK, KEYS)
    session = Session(store, BLOCK, KEYS, depth)
    try:
        check(store, session.run(sequence), slots, sequence, BLOCK)
    finally:
        session.close()
    for level in stores:
        assert level.most_in_flight <= level.limits.max_in_flight


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.lists(operations, max_size=120),
    st.sampled_from([1, 2, 8, 40]),
    st.integers(0, 10**6),
    st.fixed_dictionaries(
        {
            "policy": st.sampled_from(TieredCache.policies),
            "promotion": st.sampled_from(TieredCache.promotions),
            "write": st.sampled_from(TieredCache.writes),
            "high_water": st.sampled_from([Fraction(1), Fraction(4, 5)]),
        }
    ),
    st.sampled_from([1, 4]),
)
def test_every_way_to_decide(
    slots: list[int], sequence: Sequence, depth: int, seed: int, how: dict[str, Any], request: int
) -> None:
    """Promotion and writing through: the right content everywhere, and every byte on its edge."""
    more = {"eviction": how["policy"], "promotion": how["promotion"], "write": how["write"]}
    levels = [shuffled_tier(f"l{i}") for i in range(len(slots))]
    tier = tiered(levels, [n * BLOCK for n in slots], high_water_share=how["high_water"], **more)
    stores = [ShuffledStore(seed + i, in_flight=1 + (seed + i) % 7) for i in range(len(slots))]
    session = Session(open_tiered(tier, stores, BLOCK, KEYS), BLOCK, KEYS, depth, request)
    check(session.store, session.run(sequence), slots, sequence, BLOCK, request, **how)
    session.close()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(operations, max_size=100),
    st.sampled_from([1, 8]),
    st.integers(0, 10**6),
    st.sampled_from(TieredCache.promotions),
    st.sampled_from(TieredCache.writes),
)
def test_whatever_fails_nothing_is_lost_in_silence(
    slots: list[int], sequence: Sequence, depth: int, seed: int, promotion: str, write: str
) -> None:
    """A read gives the last content or an error (the session compares), and decisions are as if all were well."""
    levels = [shuffled_tier(f"l{i}") for i in range(len(slots))]
    tier = tiered(levels, [n * BLOCK for n in slots], promotion=promotion, write=write)
    stores = [ShuffledStore(seed + i) for i in range(len(slots))]
    for store in stores:
        store.fails = lambda kind, slot, draw=store.random: draw.random() < 0.1
    session = Session(open_tiered(tier, stores, BLOCK, KEYS), BLOCK, KEYS, depth)
    done = session.run(sequence)
    expected, cache = predicted(slots, sequence, promotion=promotion, write=write)
    for d, (outcome, level) in zip(done, expected, strict=True):
        assert d.outcome in (outcome, ERROR) and d.level == level
        assert d.outcome != ERROR or (d.errno == errno.EIO and d.nbytes == 0)
    for row, counts in zip(session.store.edges(), cache.counts, strict=False):
        assert (row["hits"], row["admitted"]) == (counts.hits, counts.admitted)
    session.close()


def test_many_promotions_at_once_find_buffers() -> None:
    """Each holds one while what makes room for it waits for more."""
    session, _ = a_session([4, 4, 8], depth=40, promotion="hit")
    session.run([(WRITE, key) for key in range(16)])
    done = session.run([(READ, key % 16) for key in range(400)])
    assert {d.outcome for d in done} == {OK}
    promoted = sum(row["promoted_bytes"] for row in session.store.edges() if row["to_tier"])
    assert promoted == 400 * BLOCK, "read round and round, none is ever in the top level"


def test_a_promotion_that_fails_is_an_error_of_the_read() -> None:
    session, stores = a_session([1, 4], promotion="hit")
    session.run([(WRITE, 1), (WRITE, 2)])
    session.store.settle()
    stores[1].fails = lambda kind, slot: kind == READ
    [done] = session.run([(READ, 1)])
    assert (done.outcome, done.errno, done.nbytes, done.level) == (ERROR, errno.EIO, 0, 1)
    [edge] = [row for row in session.store.edges() if (row["tier"], row["to_tier"]) == ("l1", "l0")]
    assert (edge["errors"], edge["promoted_bytes"]) == (1, 0)


def test_a_write_through_has_failed_where_any_level_failed() -> None:
    session, stores = a_session([1, 4], write="through")
    stores[1].fails = lambda kind, slot: kind == WRITE
    [done] = session.run([(WRITE, 1)])
    assert (done.outcome, done.errno, done.nbytes) == (ERROR, errno.EIO, 0)
    stores[1].fails = lambda kind, slot: False
    [done] = session.run([(READ, 1)])
    assert (done.outcome, done.level) == (OK, 0), "the copy above is good"


def test_requests_that_are_too_large_for_the_top_level_pass_it_by() -> None:
    tier = tiered([shuffled_tier("l0"), shuffled_tier("l1")], [4 * BLOCK], admit=(3 * BLOCK,))
    work = Work("write", BLOCK, 8, KEYS, requests=2)
    store = TieredDriver().open(tier, work, [ShuffledStore(1), ShuffledStore(2)])
    assert isinstance(store, TieredStore)
    session = Session(store, BLOCK, KEYS, 4)
    session.run([(WRITE, key) for key in range(8)])
    assert [d.level for d in session.run([(READ, key) for key in range(8)])] == [1] * 8
    assert [row.get("occupancy_bytes") for row in store.edges()[:2]] == [0, 8 * BLOCK]


def test_a_high_water_mark_leaves_room_above_the_last_level() -> None:
    session, _ = a_session([5, 5], high_water_share=Fraction(4, 5))
    session.run([(WRITE, key) for key in range(12)])
    assert [row["occupancy_bytes"] for row in session.store.edges()[:2]] == [4 * BLOCK, 5 * BLOCK]


def draws(count: int, seed: int) -> Sequence:
    rng = np.random.default_rng(seed)
    kinds = rng.choice([READ, READ, WRITE], count)
    keys = np.minimum(rng.zipf(1.3, count) - 1, KEYS - 1)
    return list(zip(kinds.tolist(), keys.tolist(), strict=True))


@pytest.mark.parametrize("depth", [1, 4, 32])
def test_memory_over_memory(depth: int) -> None:
    work = Work("mixed", 4096, 1, KEYS)
    (upper, upper_store), (lower, lower_store) = open_memory("fast", work), open_memory("slow", work)
    store = open_tiered(tiered([upper, lower], [4 * 4096, 9 * 4096]), [upper_store, lower_store], 4096, KEYS)
    session = Session(store, 4096, KEYS, depth)
    sequence = draws(600, depth)
    check(store, session.run(sequence), [4, 9], sequence, 4096)
    assert store.path().kind == "memory" and "fast, slow: memory" in store.path().evidence
    session.close()


@pytest.mark.parametrize("engine", ["threads", "io_uring"])
@pytest.mark.parametrize("depth", [1, 7, 32])
def test_memory_over_posix(tmp_path: Path, engine: str, depth: int) -> None:
    posix = pytest.importorskip("kvscen_drivers.posix.driver", reason="the posix driver is not there")
    work = Work("mixed", 4096, 1, KEYS)
    upper, upper_store = open_memory("dram", work)
    posix_settings = posix.PosixDriver.settings(path=str(tmp_path / "disk"), direct=False, engine=engine)
    lower = Tier("disk", "posix", posix_settings)
    found = posix.PosixDriver().probe(lower)
    if not found.ok:
        pytest.skip(found.reason)
    lower_store = posix.PosixDriver().open(lower, work, [])
    store = open_tiered(tiered([upper, lower], [4 * 4096, 9 * 4096]), [upper_store, lower_store], 4096, KEYS)
    session = Session(store, 4096, KEYS, depth)
    sequence = draws(600, depth)
    check(store, session.run(sequence), [4, 9], sequence, 4096)
    assert store.path().kind in ("mixed", "unknown")
    session.close()
    lower_store.close()


def a_session(slots: list[int], depth: int = 4, seed: int = 1, **more: Any) -> tuple[Session, list[ShuffledStore]]:
    tier = tiered([shuffled_tier(f"l{i}") for i in range(len(slots))], [count * BLOCK for count in slots], **more)
    stores = [ShuffledStore(seed + i) for i in range(len(slots))]
    return Session(open_tiered(tier, stores, BLOCK, KEYS), BLOCK, KEYS, depth), stores


def test_a_level_that_fails_is_named() -> None:
    session, stores = a_session([1, 4])
    session.run([(WRITE, 1), (WRITE, 2)])
    stores[1].fails = lambda kind, slot: kind == READ
    [done] = session.run([(READ, 1)])
    assert (done.outcome, done.level, done.errno, done.nbytes) == (ERROR, 1, errno.EIO, 0)
    rows = session.store.edges()
    assert [row["errors"] for row in rows] == [0, 1, 0]


def test_a_block_that_was_lost_on_its_way_down_is_an_error_and_never_a_hit() -> None:
    session, stores = a_session([1, 4])
    stores[1].fails = lambda kind, slot: kind == WRITE
    session.run([(WRITE, 1), (WRITE, 2)])
    session.store.settle()
    stores[1].fails = lambda kind, slot: False
    [lost, kept] = session.run([(READ, 1), (READ, 2)])
    assert (lost.outcome, lost.errno, lost.nbytes) == (ERROR, errno.EIO, 0)
    assert kept.outcome == OK
    assert session.store.edges()[-1]["errors"] == 1
    session.run([(WRITE, 1)])  # written anew, it is well again
    assert session.run([(READ, 1)])[0].outcome == OK


def test_everything_failing_still_ends() -> None:
    session, stores = a_session([1, 2, 2], depth=16)
    for store in stores:
        store.fails = lambda kind, slot: True
    done = session.run([(WRITE, key % KEYS) for key in range(400)])
    assert {d.outcome for d in done} == {ERROR}
    assert sum(row["errors"] for row in session.store.edges() if row["to_tier"]) == 399 + 397


def test_reset_counts_from_zero_and_keeps_the_cache_warm() -> None:
    session, _ = a_session([2, 2])
    session.run([(WRITE, key) for key in range(6)])
    session.store.reset()
    assert all(row["admitted"] == 0 and row["operations"] == 0 for row in session.store.edges() if not row["to_tier"])
    assert [d.outcome for d in session.run([(READ, key) for key in range(6)])] == [MISS, MISS, OK, OK, OK, OK]


def test_prepare_asks_for_every_key_once() -> None:
    session, _ = a_session([2, 2])
    assert len(session.store.prepare(session.layout)) == 0
    other = Layout(KEYS - 1, BLOCK, BLOCK, 0, KEYS - 1)
    assert list(session.store.prepare(other)) == list(range(KEYS - 1))


def test_operations_that_make_no_sense_fail() -> None:
    session, _ = a_session([2, 2])
    rows = np.zeros(3, OPERATION)
    rows["id"], rows["bytes"], rows["kind"] = [1, 2, 3], [BLOCK, BLOCK, 2 * BLOCK], [READ, WRITE, WRITE]
    rows["key"], rows["offset"] = [KEYS, 0, 0], [0, 8, 0]
    assert session.lane.submit(rows) == 3
    out = np.zeros(4, COMPLETION)
    assert session.lane.reap(out, 3, 10**9) == 3
    assert set(out[:3]["errno"]) == {errno.EINVAL} and set(out[:3]["outcome"]) == {ERROR}


def test_reap_waits_no_longer_than_it_may() -> None:
    session, _ = a_session([2])
    before = session.store.clock()
    assert session.lane.reap(np.zeros(1, COMPLETION), 1, 2_000_000) == 0
    assert session.store.clock() - before >= 2_000_000


def test_a_partial_read() -> None:
    session, _ = a_session([2])
    session.run([(WRITE, 3)])
    rows = np.zeros(1, OPERATION)
    rows["key"], rows["offset"], rows["bytes"], rows["kind"] = 3, 100, 28, READ
    session.lane.submit(rows)
    out = np.zeros(1, COMPLETION)
    assert session.lane.reap(out, 1, 10**9) == 1 and out[0]["bytes"] == 28
    assert (session.arena.view[:28] == session.stamp(3, 1)[100:128]).all()


def test_limits_follow_the_levels_and_bounce_buffers_are_aligned() -> None:
    tier = tiered([shuffled_tier("a"), shuffled_tier("b")], [4 * 1024, 8 * 1024])
    store = open_tiered(tier, [ShuffledStore(1, 8, 512), ShuffledStore(1, 5, 1024)], 700, KEYS)
    assert (store.limits.alignment_bytes, store.limits.max_in_flight) == (1024, 5)
    arena = store.allocate(3000, "dram")
    assert arena.nbytes == 3000 and len(arena.bounce) == BOUNCE_BUFFERS
    assert all(offset % 4096 == 0 and offset >= 3000 for offset in arena.bounce)
    assert arena.whole.nbytes >= arena.bounce[-1] + 1024
    session = Session(store, 700, KEYS, 5)
    sequence = draws(200, 3)
    check(store, session.run(sequence), [4, 8], sequence, 1024)


def test_capacity_comes_from_the_level_itself_where_it_has_one() -> None:
    tier = tiered([shuffled_tier("a", 3 * BLOCK), shuffled_tier("b")], None)
    store = open_tiered(tier, [ShuffledStore(1), ShuffledStore(2)], BLOCK, KEYS)
    session = Session(store, BLOCK, KEYS, 1)
    session.run([(WRITE, key) for key in range(KEYS)])
    rows = store.edges()
    assert [row.get("occupancy_bytes") for row in rows[:2]] == [3 * BLOCK, 21 * BLOCK]
    assert rows[1]["capacity_bytes"] is None and rows[1]["evicted"] == 0


def findings(tier: Tier, work: Work | None = None) -> list[tuple[str, str | None]]:
    return [(f.code, f.setting) for f in TieredDriver().lint(tier, work or Work("read", BLOCK, 1, KEYS))]


def test_what_the_text_alone_shows() -> None:
    a, b = shuffled_tier("a"), shuffled_tier("b")
    assert findings(tiered([a, b], [BLOCK])) == []
    assert findings(tiered([a, b], [BLOCK, BLOCK])) == []
    assert findings(tiered([shuffled_tier("a", BLOCK), b], None)) == []
    assert findings(tiered([a, b], None)) == [("KVS322", "levels")]
    assert findings(tiered([a, b], [BLOCK, BLOCK, BLOCK])) == [("KVS322", "capacities")]
    assert findings(tiered([a, b, shuffled_tier("c")], [BLOCK])) == [("KVS322", "capacities")]
    assert findings(tiered([a, b], [BLOCK - 1])) == [("KVS322", "capacities")]
    assert findings(tiered([shuffled_tier("a", BLOCK), b], [2 * BLOCK])) == [("KVS322", "capacities")]
    assert findings(tiered([a, b], [BLOCK], admit=(1,))) == []
    assert findings(tiered([a, b], [BLOCK], admit=(1, BLOCK - 1))) == [("KVS327", "admit")]
    assert findings(tiered([a, b], [BLOCK], admit=(1, 1, BLOCK))) == [("KVS327", "admit")]
    assert findings(tiered([a, a], [BLOCK])) == [("KVS321", "levels")]
    assert findings(tiered([Tier("a", "sim", None, virtual=True), b], [BLOCK])) == [("KVS321", "levels")]
    nested = tiered([a, tiered([b], None)], [BLOCK])
    assert findings(nested) == [("KVS321", "levels")]
    assert findings(tiered([a, b], [BLOCK]), Work("read", BLOCK, 1, KEYS, threads=2)) == [("KVS323", "threads")]


def test_levels_that_share_a_folder_are_refused() -> None:
    """They would write over each other's blocks."""
    disks = [Tier(name, "posix", PosixSettings(path=path)) for name, path in (("a", "d"), ("b", "./d"), ("c", "e"))]
    assert findings(tiered(disks, [BLOCK, BLOCK])) == [("KVS321", "levels")]
    assert findings(tiered(disks[1:], [BLOCK])) == []


@pytest.mark.parametrize(
    ("upper", "lower", "wrong"),
    [
        ("d", "d/sub", True),
        ("/data/x/../a/b/", "/data/a", True),
        (".", "d", True),
        ("../d", "../d/e", True),
        (".", "../d", False),
        ("d", "data", False),
        ("/d", "d", False),
    ],
)
def test_a_folder_within_that_of_another_level(upper: str, lower: str, wrong: bool) -> None:
    for paths in ((upper, lower), (lower, upper)):
        disks = [Tier(name, "posix", PosixSettings(path=path)) for name, path in zip("ab", paths, strict=True)]
        assert findings(tiered(disks, [BLOCK, BLOCK])) == ([("KVS321", "levels")] if wrong else [])


@pytest.mark.parametrize("lower", ["link", "link/sub"])
def test_one_folder_by_two_names(tmp_path: Path, lower: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    paths = str(tmp_path / "d"), str(tmp_path / lower)
    disks = [Tier(name, "posix", PosixSettings(path=path)) for name, path in zip("ab", paths, strict=True)]
    tier = tiered(disks, [BLOCK, BLOCK])
    assert findings(tier) == []
    with pytest.raises(
        DriverError, match=r"tier `cache`: `a` and `b` keep|tier `cache`: `b` keeps its blocks in .*/d/sub"
    ):
        open_tiered(tier, [ShuffledStore(1), ShuffledStore(2)], BLOCK, KEYS)


def test_what_only_the_machine_shows() -> None:
    tier = tiered([shuffled_tier("a"), shuffled_tier("b")], [600])
    store = open_tiered(tier, [ShuffledStore(1, alignment=512), ShuffledStore(1)], 600, KEYS)
    arena = store.allocate(1024, "dram")
    store.lane(0, arena)
    with pytest.raises(DriverError, match="level `a` may hold 600 B, less than one block of 1 KiB"):
        store.prepare(Layout(KEYS, 600, 1024, 0, KEYS))
    narrow = open_tiered(tiered([shuffled_tier("a")], [BLOCK], admit=(BLOCK - 1,)), [ShuffledStore(1)], BLOCK, KEYS)
    with pytest.raises(DriverError, match="no level admits requests of 512 B"):
        narrow.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))
    with pytest.raises(DriverError, match="one thread"):
        store.lane(1, arena)
    with pytest.raises(DriverError, match="host memory only"):
        store.allocate(10, "vram")


def test_each_level_is_asked_for_what_it_may_hold() -> None:
    """So that a level's own capacity is not held against blocks that it will never keep."""
    driver = TieredDriver()
    tier = tiered([shuffled_tier("a", 5 * BLOCK), shuffled_tier("b")], None)
    work = Work("read", BLOCK, 1, KEYS)
    assert [driver.level_work(tier, work, level).keys for level in (0, 1)] == [5, KEYS]
    assert driver.level_work(tiered([shuffled_tier("a")], [10**9]), work, 0).keys == KEYS
    assert driver.level_work(tiered([shuffled_tier("a")], [1]), work, 0).keys == 1
