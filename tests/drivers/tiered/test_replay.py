"""Replays against a tiered tier: the bytes are those that the decisions promise, whatever ends when."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import POLICIES, PROMOTIONS, WRITES, CacheLevel, TieredCache
from kvscen.execute import messages
from kvscen.execute.content import Stamped
from kvscen.execute.loop import Beat, LaneLoop, Shape
from kvscen.execute.session import Session
from kvscen.execute.summary import Summary, summarise
from kvscen.pattern.replay_source import LookedUp, ReplaySource
from kvscen.plan.replay import Replay
from kvscen.plugin import COMPLETION, ERROR, OPERATION, WRITE, Layout, Tier, Work
from kvscen.predict.replay import replay
from kvscen.trace.requests import Requests, read_requests
from kvscen_drivers.memory import MemorySettings
from kvscen_drivers.tiered import TieredDriver
from kvscen_drivers.tiered.store import TieredStore
from tests.drivers.tiered.levels import ShuffledStore, shuffled_tier, tiered
from tests.drivers.tiered.test_in_a_worker import TARGETS
from tests.execute.support import make_point

BLOCK = 512
BLOCKS = st.lists(st.lists(st.integers(0, 14), min_size=1, max_size=7, unique=True), min_size=1, max_size=25)


def requests_of(blocks: list[list[int]]) -> Requests:
    keys = np.array([key for each in blocks for key in each], np.int64)
    return Requests(keys, np.cumsum([0, *map(len, blocks)]), None, int(keys.max()) + 1, 16, True)


def opened(
    requests: Requests, capacities: list[int], seed: int, **more: Any
) -> tuple[TieredStore, list[ShuffledStore]]:
    levels = [ShuffledStore(seed + number) for number in range(len(capacities))]
    names = [shuffled_tier(f"level{number}") for number in range(len(capacities))]
    work = Work(
        "mixed",
        BLOCK,
        1,
        requests.distinct,
        replay=Replay("t", len(requests), len(requests.keys), len(requests.keys), 16, "", users=1),
    )
    store = TieredDriver().open(tiered(names, [slots * BLOCK for slots in capacities], **more), work, levels)
    assert isinstance(store, TieredStore)
    return store, levels


def run(store: TieredStore, requests: Requests, users: int, depth: int) -> tuple[LookedUp, Stamped, str]:
    """A replay from an empty cache on, its content compared."""
    arena = store.allocate(depth * BLOCK, "dram")
    lane = store.lane(0, arena)
    store.prepare(Layout(requests.distinct, BLOCK, BLOCK, 0, requests.distinct))
    store.reset()
    stamped = Stamped(arena, 3, 0, np.zeros(requests.distinct, np.uint64), advance=False)
    source = ReplaySource(requests, store.decide, BLOCK, users=users)
    loop = LaneLoop(store, lane, source, Shape(depth, BLOCK), Beat(), content=stamped)
    while loop.step():
        pass
    return source.looked_up(0), stamped, loop.first_error


@settings(max_examples=60, deadline=None)
@given(
    blocks=BLOCKS,
    capacities=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    policy=st.sampled_from(sorted(POLICIES)),
    promotion=st.sampled_from(PROMOTIONS),
    write=st.sampled_from(WRITES),
    users=st.integers(1, 4),
    depth=st.integers(1, 9),
    seed=st.integers(0, 10**6),
)
def test_what_was_decided_is_done(
    blocks: list[list[int]],
    capacities: list[int],
    policy: str,
    promotion: Any,
    write: Any,
    users: int,
    depth: int,
    seed: int,
) -> None:
    requests = requests_of(blocks)
    store, _ = opened(requests, capacities, seed, eviction=policy, promotion=promotion, write=write)
    looked, stamped, error = run(store, requests, users, depth)
    assert not error and not stamped.mismatch and not stamped.misses
    assert stamped.verified_bytes == looked.hits * BLOCK and not store.decided
    cache = TieredCache([CacheLevel(min(each, requests.distinct)) for each in capacities], policy, promotion, write)
    expected = replay(cache, requests.keys, requests.offsets)
    assert (looked.hits, looked.prefix_hits) == (expected.hits, expected.prefix_hits)
    rows = [row for row in store.edges() if row["to_tier"] is None]
    for row, counts in zip(rows, expected.counts, strict=True):
        assert (row["lookups"], row["hits"], row["admitted"]) == (counts.lookups, counts.hits, counts.admitted)
        assert row["evicted"] == counts.demoted + counts.clean + counts.dropped
        assert row["errors"] == 0
    # Again, from an empty cache on: the same to the byte.
    store.reset()
    again = ReplaySource(requests, store.decide, BLOCK, users=1)
    while not again.ended:
        rows = again.next(64, 0)
        again.done(rows, np.zeros(len(rows), COMPLETION))
    assert again.looked_up(0) == looked


def test_a_request_larger_than_its_level_admits_passes_by() -> None:
    requests = requests_of([[0, 1, 2, 3], [0], [0, 1, 2, 3], [4]])
    store, _ = opened(requests, [4], 1, admit=(3 * BLOCK,))
    looked, stamped, error = run(store, requests, 2, 4)
    assert not error and not stamped.mismatch
    # [0] comes in by itself and is found by the third request, which is too large for its other blocks.
    assert (looked.hits, looked.operations) == (1, 3)


def test_an_operation_out_of_turn_is_refused() -> None:
    requests = requests_of([[0, 1]])
    store, _ = opened(requests, [4], 1)
    lane = store.lane(0, store.allocate(4 * BLOCK, "dram"))
    store.prepare(Layout(2, BLOCK, BLOCK, 0, 2))
    assert store.decide([0, 1]).writes == [0, 1]
    ops = np.zeros(1, OPERATION)
    ops["key"], ops["bytes"], ops["kind"] = 1, BLOCK, WRITE
    assert lane.submit(ops) == 1
    out = np.zeros(4, COMPLETION)
    assert lane.reap(out, 1, 10**9) == 1 and out[0]["outcome"] == ERROR


def test_a_block_that_cannot_be_moved_fails_its_readers() -> None:
    """The replay goes to its end; nothing that failed is a hit, and the bytes of the others are right."""
    requests = requests_of([[0, 1], [2, 3], [0, 1], [2, 3]])
    store, levels = opened(requests, [2, 4], 5)
    levels[1].fails = lambda kind, slot: kind == WRITE
    _, stamped, error = run(store, requests, 1, 4)
    assert "EIO" in error and not stamped.mismatch


def test_a_pause_of_the_trace_is_no_hang() -> None:
    """Whoever watches the loop sees that it goes on, though nothing ends."""
    requests = attrs.evolve(requests_of([[0], [1]]), arrival_ns=np.array([0, 10**12], np.int64))
    store, _ = opened(requests, [2], 1)
    arena = store.allocate(BLOCK, "dram")
    lane = store.lane(0, arena)
    store.prepare(Layout(2, BLOCK, BLOCK, 0, 2))
    beat = Beat()
    source = ReplaySource(requests, store.decide, BLOCK, speed=Fraction(1))
    source.start(store.clock())
    loop = LaneLoop(store, lane, source, Shape(1, BLOCK), beat, poll_ns=1000)
    while not beat.read().progress:
        loop.step()
    before = beat.read().progress
    loop.step()
    assert beat.read().progress > before and not source.ended


# ---- in a worker


def trace_file(folder: Path, blocks: list[list[int]]) -> Path:
    path = folder / "requests.jsonl"
    records = [
        {"timestamp": 2 * number, "input_length": 512 * len(ids), "output_length": 1, "hash_ids": ids}
        for number, ids in enumerate(blocks)
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def work_of(path: Path, **more: Any) -> Work:
    requests = read_requests(path)
    planned = Replay(str(path), len(requests), len(requests.keys), len(requests.keys), 512, requests.digest(), **more)
    return Work("mixed", 1024, 1, requests.distinct, depth=4, replay=planned)


def trials(session: Session, tier: Tier, work: Work, count: int) -> list[Summary]:
    def ask(request: messages.Request) -> Any:
        reply = session.handle(request)
        assert not isinstance(reply, messages.Failed), reply
        return reply

    answer = ask(messages.Open("p", tier, work, 0, TARGETS, 1))
    ask(messages.Prepare("p"))
    verified = ask(messages.Verify("p", 2))
    assert not verified.mismatch
    point = make_point("p", tier, work)
    found = []
    for trial in range(count):
        ask(messages.Arm("p", 7 + trial))
        measured = ask(messages.Go(time.perf_counter_ns()))
        found.append(summarise(point, answer, [measured], verified.verified_bytes))
    return found


A_TRACE = [[n % 7, (3 * n) % 5 + 7, n % 11 + 12] for n in range(60)]


@pytest.mark.parametrize("pace", [{"users": 1}, {"users": 6}, {"speed": 1}])
def test_three_trials_do_the_same_work(tmp_path: Path, pace: dict[str, Any]) -> None:
    levels = (Tier("upper", "memory", MemorySettings()), Tier("lower", "memory", MemorySettings()))
    cache = tiered(list(levels), [4 * 1024, 9 * 1024])
    session = Session()
    work = work_of(trace_file(tmp_path, A_TRACE), **pace)
    found = trials(session, cache, work, 3)
    session.close()
    assert [(each.status, each.reason) for each in found] == [("ok", "")] * 3
    names = ("sequence", "lookups", "hits", "misses", "prefix_hits", "reads", "writes", "moved_bytes", "operations")
    works = [tuple(each.measures[name] for name in names) for each in found]
    assert len(set(works)) == 1 and works[0][1] == 180
    first = found[0].measures
    assert first["hits"] == first["reads"] and first["verified_bytes"] == first["hits"] * 1024  # type: ignore[operator]
    assert first["misses"] == 180 - first["hits"] and first["hit_rate"] == first["hits"] / 180  # type: ignore[operator]
    assert first["load_bytes"] == first["moved_bytes"] and first["request_rate_per_s"]
    assert first["request_latency_p50_ns"]
    assert any(series.phase == "delay" for series in found[0].latency) == ("speed" in pace)
    edges = [[(row["tier"], row["demoted_bytes"], row.get("hits")) for row in each.tiers] for each in found]
    assert edges[0] == edges[1] == edges[2]
    assert sum(row["hits"] for row in found[0].tiers if row["to_tier"] is None) == first["hits"]


def test_a_tier_that_keeps_all_finds_what_came_before(tmp_path: Path) -> None:
    session = Session()
    work = work_of(trace_file(tmp_path, A_TRACE), users=4)
    (found,) = trials(session, Tier("dram", "memory", MemorySettings()), work, 1)
    session.close()
    assert found.status == "ok" and found.measures["hits"] == 180 - work.keys == found.measures["reads"]
    assert found.measures["writes"] == work.keys and not found.tiers


def test_a_trace_that_changed_is_refused(tmp_path: Path) -> None:
    path = trace_file(tmp_path, A_TRACE)
    work = attrs.evolve(work_of(path, users=1))
    trace_file(tmp_path, A_TRACE[:-1])
    reply = Session().handle(messages.Open("p", Tier("dram", "memory", MemorySettings()), work, 0, TARGETS, 1))
    assert isinstance(reply, messages.Failed) and "not what it was when the plan was made" in reply.reason
