"""A tiered tier over simulated levels: its times against those by hand, its decisions against the cache's."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import POLICIES, PROMOTIONS, WRITES, CacheLevel, TieredCache
from kvscen.execute.loop import Beat, LaneLoop, Quota, Shape, run_loops
from kvscen.execute.session import Session
from kvscen.pattern.replay_source import LookedUp, ReplaySource
from kvscen.pattern.source import ListSource
from kvscen.plan.replay import Replay
from kvscen.plugin import COMPLETION, READ, WRITE, DriverError, Layout, Rows, Tier, VirtualLane, VirtualStore, Work
from kvscen.predict.replay import replay
from kvscen.trace.requests import Requests, read_requests
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.sim import SimDriver, SimSettings
from kvscen_drivers.tiered import TieredDriver, TieredSettings
from kvscen_drivers.tiered.store import TieredStore
from tests.drivers.tiered.test_in_a_worker import trial
from tests.drivers.tiered.test_replay import BLOCKS, requests_of
from tests.drivers.tiered.test_tiered import findings
from tests.traces import FOLDER, MOONCAKE, counted

BLOCK = 100
NS = 10**9


@attrs.frozen
class Model:
    """Of a simulated level: ns for each byte in the pipe, latency and servers."""

    byte_ns: Fraction | int
    latency_ns: int
    parallelism: int

    def tier(self, name: str) -> Tier:
        bandwidth = NS / Fraction(self.byte_ns)
        found = SimSettings(bandwidth_bytes_per_s=bandwidth, latency_ns=self.latency_ns, parallelism=self.parallelism)
        return Tier(name, "sim", found, virtual=True)


def cache_of(models: Sequence[Model], capacities: Sequence[int], **more: Any) -> Tier:
    levels = tuple(model.tier(f"l{number}") for number, model in enumerate(models))
    sizes = tuple(BLOCK * each for each in capacities)
    return Tier(
        "cache", "tiered", TieredSettings(levels=tuple(t.name for t in levels), capacities=sizes, **more), levels, True
    )


def opened(tier: Tier, work: Work) -> TieredStore:
    store = TieredDriver().open(tier, work, [SimDriver().open(level, work, ()) for level in tier.levels])
    assert isinstance(store, TieredStore) and isinstance(store, VirtualStore)
    return store


class Seen:
    """What became of each operation: (request, kind, key, submit, end, level)."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []

    def before(self, ops: Rows) -> None:
        pass

    def after(self, ops: Rows, completions: Rows) -> None:
        asked = ops[["request", "kind", "key"]].tolist()
        self.rows += [(*a, *c) for a, c in zip(asked, completions[["submit", "end", "level"]].tolist(), strict=True)]


def run(
    requests: Requests,
    models: Sequence[Model],
    capacities: Sequence[int],
    users: int | None = 1,
    depth: int = 4,
    speed: Fraction | None = None,
    **more: Any,
) -> tuple[list[tuple[int, int, int, int, int, int]], TieredStore, LookedUp]:
    """A replay from an empty cache on."""
    planned = Replay("t", len(requests), len(requests.keys), len(requests.keys), 16, "", users=users, speed=speed)
    store = opened(cache_of(models, capacities, **more), Work("mixed", BLOCK, 1, requests.distinct, replay=planned))
    lane = store.lane(0, store.allocate(depth * BLOCK, "dram"))
    assert len(store.prepare(Layout(requests.distinct, BLOCK, BLOCK, 0, requests.distinct))) == 0
    store.reset()
    source, seen = ReplaySource(requests, store.decide, BLOCK, users=users, speed=speed), Seen()
    source.start(store.clock())
    loop = LaneLoop(store, lane, source, Shape(depth, BLOCK), Beat(), content=seen)
    run_loops([loop], store)
    assert not loop.first_error and not store.decided
    return seen.rows, store, source.looked_up(store.clock())


FAST, SLOW = Model(1, 10, 2), Model(4, 100, 1)


def test_a_tiny_trace_to_the_nanosecond() -> None:
    """One block fits above. Block 0 goes down as 1 comes, and is read below as soon as it is there."""
    rows, store, _ = run(requests_of([[0], [1], [0]]), [FAST, SLOW], [1, 2])
    assert rows == [
        # submitted at 0, 10 ns latency, 100 bytes at 1 ns
        (0, WRITE, 0, 0, 110, 0),
        # first block 0 is read above (to 220); then it is written below, and 1 above: 220 + 10 + 100
        (1, WRITE, 1, 110, 330, 0),
        # block 0 comes below at 220 + 100 + 400 = 720; the read waits for it: 720 + 100 + 400
        (2, READ, 0, 330, 1220, 1),
    ]
    upper, lower, edge = store.edges()
    assert (upper["hits"], lower["hits"], edge["demoted_bytes"]) == (0, 1, BLOCK)
    assert edge["latency_max_ns"] == 720 - 110, "from the decision to its end"
    assert (upper["read_bytes"], upper["write_bytes"], lower["read_bytes"], lower["write_bytes"]) == (
        100,
        200,
        100,
        100,
    )
    assert store.path().kind == "simulated"


def test_levels_work_side_by_side_on_one_clock() -> None:
    """Of a request with a block on each level the read below ends later, and neither waits for the other."""
    rows, _, _ = run(requests_of([[0], [1], [2], [1, 2, 0]]), [FAST, SLOW], [2, 2], eviction="fifo")
    last = [row for row in rows if row[0] == 3]
    begin = last[0][3]
    # 0 was written below long ago or not: its move began with request 2, at `begin` - 220
    moved = begin - 220 + 110 + 500
    assert last == [
        (3, READ, 1, begin, begin + 110, 0),
        (3, READ, 2, begin, begin + 210, 0),
        (3, READ, 0, begin, moved + 500, 1),
    ]


def test_arrivals_are_kept_on_a_virtual_clock_and_moves_go_on_in_between() -> None:
    begin = 10**18  # a pause of 30 years
    due = np.array([0, 1_000, begin, begin + 100], np.int64)
    requests = attrs.evolve(requests_of([[0], [1], [0], [1]]), arrival_ns=due)
    rows, store, _ = run(requests, [FAST, SLOW], [1, 2], None, 4, Fraction(1))
    assert rows == [
        (0, WRITE, 0, 0, 110, 0),
        (1, WRITE, 1, 1_000, 1_220, 0),
        (3, READ, 1, begin + 100, begin + 210, 0),
        (2, READ, 0, begin, begin + 500, 1),  # the move ended in the pause
    ]
    assert store.clock() == begin + 500


def test_what_is_still_moving_at_the_end_ends() -> None:
    rows, store, _ = run(requests_of([[0], [1]]), [FAST, SLOW], [1, 2])
    assert max(row[4] for row in rows) == 330 and store.clock() < 720
    edge = store.edges()[-1]
    assert (edge["operations"], store.clock()) == (1, 720), "looking at the edges waits for what is under way"


MODELS = st.builds(Model, st.fractions(Fraction(1, 3), 5, max_denominator=7), st.integers(0, 300), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(
    blocks=BLOCKS,
    levels=st.lists(st.tuples(MODELS, st.integers(1, 6)), min_size=1, max_size=3),
    policy=st.sampled_from(sorted(POLICIES)),
    promotion=st.sampled_from(PROMOTIONS),
    write=st.sampled_from(WRITES),
    users=st.integers(1, 4),
    depth=st.integers(1, 9),
)
def test_hits_are_the_caches_and_nothing_ends_in_two_orders(
    blocks: list[list[int]],
    levels: list[tuple[Model, int]],
    policy: str,
    promotion: Any,
    write: Any,
    users: int,
    depth: int,
) -> None:
    requests = requests_of(blocks)
    models, capacities = [model for model, _ in levels], [count for _, count in levels]
    more = {"eviction": policy, "promotion": promotion, "write": write}
    rows, store, looked = run(requests, models, capacities, users, depth, **more)
    cache = TieredCache([CacheLevel(min(each, requests.distinct)) for each in capacities], policy, promotion, write)
    expected = replay(cache, requests.keys, requests.offsets)
    assert (looked.hits, looked.prefix_hits) == (expected.hits, expected.prefix_hits)
    for row, counts in zip(store.edges(), expected.counts, strict=False):
        assert (row["lookups"], row["hits"], row["admitted"]) == (counts.lookups, counts.hits, counts.admitted)
        assert row["evicted"] == counts.demoted + counts.clean + counts.dropped and row["errors"] == 0
    ends = [end for *_, end, _ in rows]
    assert ends == sorted(ends), "delivered in the order of time"
    assert all(submit < end or not models[level].latency_ns for *_, submit, end, level in rows)
    again, same, looked_again = run(requests, models, capacities, users, depth, **more)
    assert (again, looked_again, same.edges(), same.clock()) == (rows, looked, store.edges(), store.clock())


def reads_of(model: Model, latency_ns: int, depth: int, order: list[int]) -> int:
    """How long it takes to read blocks that lie on two levels, so many at a time."""
    store = opened(cache_of([FAST, attrs.evolve(model, latency_ns=latency_ns)], [4]), Work("read", BLOCK, 1, 10))
    lane = store.lane(0, store.allocate(depth * BLOCK, "dram"))
    missing = np.asarray(store.prepare(Layout(10, BLOCK, BLOCK, 0, 10)), np.uint64)
    for keys, kind in ((missing, WRITE), (np.array(order, np.uint64), READ)):
        store.settle()
        began, seen = store.clock(), Seen()
        source = ListSource(keys, kind, BLOCK)
        run_loops(
            [LaneLoop(store, lane, source, Shape(depth, BLOCK), Beat(), content=seen, quota=Quota(len(keys)))], store
        )
    assert len(seen.rows) == len(order) and {row[5] for row in seen.rows} <= {0, 1}
    return max(row[4] for row in seen.rows) - began


@settings(max_examples=60, deadline=None)
@given(MODELS, st.integers(0, 400), st.integers(1, 6), st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_more_latency_never_gives_more_throughput(model: Model, more_ns: int, depth: int, order: list[int]) -> None:
    """Where nothing moves. Moves wait for each other, and then what is slower may by luck come in a better order."""
    assert reads_of(model, model.latency_ns + more_ns, depth, order) >= reads_of(model, model.latency_ns, depth, order)


@settings(max_examples=30, deadline=None)
@given(BLOCKS, MODELS, MODELS, st.integers(1, 3), st.integers(1, 6), st.integers(2, 9))
def test_everything_slower_by_a_factor_takes_that_much_longer(
    blocks: list[list[int]], upper: Model, lower: Model, users: int, depth: int, factor: int
) -> None:
    def whole(model: Model, by: int) -> Model:
        return attrs.evolve(model, byte_ns=round(model.byte_ns + 1) * by, latency_ns=model.latency_ns * by)

    requests = requests_of(blocks)
    one, _, _ = run(requests, [whole(upper, 1), whole(lower, 1)], [3, 5], users, depth)
    slow, _, _ = run(requests, [whole(upper, factor), whole(lower, factor)], [3, 5], users, depth)
    assert [(*row[:3], row[3] * factor, row[4] * factor, row[5]) for row in one] == slow


def test_a_window_of_time_and_a_steady_load() -> None:
    """Not only replays: the cache is laid out as a real one is, and the window ends where it should."""
    tier = cache_of([Model(1, 900, 1), Model(4, 600, 1)], [4, 6])
    work = Work("read", BLOCK, 1, 10, depth=1, time_ns=1_000_000, warmup_ns=100_000, durability="none")
    found = trial(Session(), tier, work)
    assert (found.status, found.reason) == ("ok", "")
    # Round and round 10 blocks, 4 of them above: 4 x 1 us + 6 x 1 us each time.
    assert (found.measures["operations"], found.measures["window_ns"]) == (1000, 1_000_000)
    assert found.measures["hit_rate"] == 1 and found.measures["path"] == "simulated"
    assert found.measures["verified_bytes"] is None and found.measures["cpu_ns"] is None
    upper, lower, _ = found.tiers
    assert (upper["hits"], lower["hits"]) == (440, 660)
    steady = attrs.evolve(work, until="steady", cap_ns=100_000_000)
    found = trial(Session(), tier, steady)
    assert found.measures["steady"] and found.measures["operations"] == 1000


def test_buffers_take_no_memory() -> None:
    """Neither the core's nor those between levels, however large the blocks."""
    huge = 8 << 40
    tier = cache_of([FAST, SLOW], [1, 2])
    tier = attrs.evolve(tier, settings=attrs.evolve(tier.settings, capacities=None))
    work = Work("mixed", 1 << 30, 1, 10)
    assert TieredDriver().footprint(tier, work).memory_bytes == 0
    store = opened(tier, work)
    arena = store.allocate(huge, "dram")
    assert arena.nbytes == huge
    arena.close()
    with pytest.raises(DriverError, match="more than a process has addresses for"):
        store.allocate(1 << 60, "dram")


def test_levels_are_all_simulated_or_none() -> None:
    real = Tier("dram", "memory", MemorySettings())
    simulated = FAST.tier("future")
    mixed = Tier("cache", "tiered", TieredSettings(levels=("dram", "future"), capacities=(512,)), (real, simulated))
    assert findings(mixed) == [("KVS321", "levels")]
    assert findings(cache_of([FAST, SLOW], [6])) == []
    work = Work("mixed", BLOCK, 1, 10)
    levels = [MemoryDriver().open(real, work, ()), SimDriver().open(simulated, work, ())]
    with pytest.raises(DriverError, match="the level `future` is simulated and the level `dram` is not"):
        TieredDriver().open(mixed, work, levels)


def test_a_lane_with_nothing_in_flight_lets_time_pass() -> None:
    store = opened(cache_of([FAST], [2]), Work("mixed", BLOCK, 1, 2))
    lane = store.lane(0, store.allocate(BLOCK, "dram"))
    assert isinstance(lane, VirtualLane) and lane.next_event_ns() is None
    assert lane.reap(np.zeros(1, COMPLETION), 1, 700) == 0 and store.clock() == 700


@pytest.mark.long
def test_mooncake_hits_as_an_independent_simulator_counted() -> None:
    count = counted(MOONCAKE)["lru"]["10%"]["forward"]
    requests, blocks = read_requests(FOLDER / MOONCAKE), count["capacity_blocks"]
    fast, slow = Model(1, 10, 8), Model(4, 100, 8)
    rows, _, one = run(requests, [fast], [blocks], 8, 32)
    assert (len(rows), one.hits, one.prefix_hits) == (one.operations, count["hit_any"], count["hit_prefix"])
    upper, lower = blocks // 10, blocks - blocks // 10
    _, _, two = run(requests, [fast, slow], [upper, lower], 8, 32)
    expected = replay(TieredCache([CacheLevel(upper), CacheLevel(lower)], "lru"), requests.keys, requests.offsets)
    assert (two.hits, two.prefix_hits) == (expected.hits, expected.prefix_hits)
