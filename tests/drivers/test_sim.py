"""The simulated tier against its model, worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.plugin import COMPLETION, LOOKUP, OPERATION, READ, WRITE, DriverError, Layout, Tier, VirtualLane, Work
from kvscen_drivers.sim import SimDriver, SimSettings, SimStore

MIB = 1 << 20
US = 1000
FOREVER = 10**15


def a_store(bandwidth: int | Fraction, latency_ns: int, parallelism: int, capacity: int | None = None) -> SimStore:
    settings = SimSettings(
        bandwidth_bytes_per_s=Fraction(bandwidth),
        latency_ns=latency_ns,
        parallelism=parallelism,
        capacity_bytes=capacity,
    )
    return SimDriver().open(Tier("t", "sim", settings), Work("read", MIB, 1, 64), [])


def ops(sizes: list[int], kind: int = READ, first_id: int = 0) -> np.ndarray:
    rows = np.zeros(len(sizes), OPERATION)
    rows["id"] = np.arange(first_id, first_id + len(sizes))
    rows["bytes"] = sizes
    rows["kind"] = kind
    return rows


def lane_of(store: SimStore, index: int = 0) -> VirtualLane:
    return store.lane(index, store.allocate(4096, "dram"))


def reap(
    lane: VirtualLane, at_least: int, timeout_ns: int = FOREVER, room: int = 64
) -> list[tuple[int, int, int, int]]:
    out = np.zeros(room, COMPLETION)
    count = lane.reap(out, at_least, timeout_ns)
    return [tuple(row) for row in out[:count][["id", "submit", "end", "bytes"]].tolist()]


def closed_loop(store: SimStore, depths: list[int], block: int, total: int) -> list[int]:
    """The ends of `total` operations, each lane refilled as soon as one of its own ends; lanes in the order of their
    events.
    """
    lanes = [lane_of(store, i) for i in range(len(depths))]
    submitted, ends = 0, []
    for lane, depth in zip(lanes, depths, strict=True):
        submitted += lane.submit(ops([block] * depth))
    while True:
        busy = [(lane.next_event_ns(), i) for i, lane in enumerate(lanes) if lane.next_event_ns() is not None]
        if not busy:
            return ends
        lane = lanes[min(busy)[1]]
        done = reap(lane, 1)
        ends += [end for _, _, end, _ in done]
        if submitted < total:
            submitted += lane.submit(ops([block] * len(done)))


def test_one_operation_takes_the_latency_and_its_time_in_the_pipe() -> None:
    store = a_store(1000 * MIB, 80 * US, 4)  # 1 MiB passes in 1 ms
    lane = lane_of(store)
    lane.submit(ops([MIB, MIB // 2, 0]))
    assert reap(lane, 3) == [(0, 0, 1_080_000, MIB), (1, 0, 1_580_000, MIB // 2), (2, 0, 1_580_000, 0)]
    assert store.clock() == 1_580_000


def test_operations_wait_for_a_server() -> None:
    store = a_store(1000 * MIB, 10_000 * US, 2)
    lane = lane_of(store)
    lane.submit(ops([MIB] * 4))
    # two start at 0: the pipe gives 11 and 12 ms; the others start then, 10 ms later they enter the pipe
    assert [end for _, _, end, _ in reap(lane, 4)] == [11_000_000, 12_000_000, 22_000_000, 23_000_000]


@pytest.mark.parametrize(
    ("parallelism", "depth", "expected"),
    [
        (1, 1, Fraction(MIB, 2) * 1000),  # 1 ms latency + 1 ms pipe
        (1, 16, Fraction(MIB, 2) * 1000),  # one server: more in flight does not help
        (8, 1, Fraction(MIB, 2) * 1000),
        (2, 2, Fraction(MIB) * 1000),  # just enough to fill the pipe
        (8, 8, Fraction(MIB) * 1000),  # the pipe is the limit
    ],
)
def test_throughput_of_a_closed_loop(parallelism: int, depth: int, expected: Fraction) -> None:
    ends = closed_loop(a_store(1000 * MIB, 1_000_000, parallelism), [depth], MIB, 200)
    window = ends[150] - ends[50]
    assert Fraction(100 * MIB * 10**9, window) == expected


def test_throughput_below_the_pipe_is_the_documented_formula() -> None:
    """3 servers, 9 ms latency, 1 ms in the pipe: 3 MiB in 10 ms."""
    ends = closed_loop(a_store(1000 * MIB, 9_000_000, 3), [7], MIB, 300)
    assert ends[199] - ends[49] == 150 // 3 * 10_000_000


def test_lanes_share_servers_and_pipe() -> None:
    alone = closed_loop(a_store(1000 * MIB, 1_000_000, 4), [4], MIB, 120)
    shared = closed_loop(a_store(1000 * MIB, 1_000_000, 4), [1, 3], MIB, 120)
    assert shared[-1] - shared[20] == alone[-1] - alone[20] == 99 * 1_000_000


def test_nothing_drifts_where_a_block_does_not_take_whole_nanoseconds() -> None:
    """7 bytes at 3 bytes/s take 2.333... s: after 3000 of them exactly 7000 s have passed."""
    ends = closed_loop(a_store(3, 0, 2), [2], 7, 3000)
    assert ends[2999] == 7000 * 10**9
    assert ends[0] == -(-7 * 10**9 // 3)  # rounded up


def test_a_fraction_of_a_byte_per_second_is_exact() -> None:
    store = a_store(Fraction(10**9, 3), 0, 1)  # 3 ns a byte
    lane = lane_of(store)
    lane.submit(ops([1, 2]))
    assert [end for _, _, end, _ in reap(lane, 2)] == [3, 9]


def test_the_clock_stops_at_the_timeout_and_stands_still_otherwise() -> None:
    store = a_store(1000 * MIB, 1_000_000, 1)
    lane = lane_of(store)
    lane.submit(ops([MIB]))
    assert store.clock() == 0
    assert reap(lane, 0, 10**9) == [] and store.clock() == 0
    assert reap(lane, 1, 500) == [] and store.clock() == 500
    assert lane.next_event_ns() == 2_000_000
    assert len(reap(lane, 1)) == 1 and store.clock() == 2_000_000
    assert lane.next_event_ns() is None
    assert reap(lane, 1, 700) == [] and store.clock() == 2_000_700


def test_what_ended_before_the_clock_is_reaped_with_its_own_end() -> None:
    store = a_store(1000 * MIB, 0, 2)
    first, second = lane_of(store, 0), lane_of(store, 1)
    first.submit(ops([MIB]))
    second.submit(ops([MIB]))
    assert reap(second, 1)[0][2] == 2_000_000
    assert reap(first, 0, 0) == [(0, 0, 1_000_000, MIB)]
    assert store.clock() == 2_000_000


def test_a_lane_takes_no_more_than_its_limit() -> None:
    store = a_store(10**9, 0, 1)
    lane = lane_of(store)
    most = store.limits.max_in_flight
    assert lane.submit(ops([1] * (most + 5))) == most
    assert lane.submit(ops([1])) == 0
    assert len(reap(lane, 1, room=8)) == 1


def test_reset_finds_the_servers_idle() -> None:
    store = a_store(1000 * MIB, 1_000_000, 1)
    lane = lane_of(store)
    lane.submit(ops([MIB]))
    reap(lane, 1, 10)
    lane.close()
    store.reset()
    lane.submit(ops([MIB]))
    assert reap(lane, 1)[0][2] == 10 + 2_000_000


def test_a_lookup_moves_nothing() -> None:
    lane = lane_of(a_store(1000, 5, 1))
    lane.submit(ops([1000], LOOKUP))
    assert reap(lane, 1) == [(0, 0, 5, 0)]


def test_capacity() -> None:
    store = a_store(10**9, 0, 1, capacity=10 * MIB)
    assert len(store.prepare(Layout(10, MIB, MIB))) == 0
    with pytest.raises(DriverError, match="holds 10 MiB, the pattern touches 11 MiB"):
        store.prepare(Layout(11, MIB, MIB))
    findings = list(SimDriver().lint(store.tier, Work("read", MIB, 1, 11)))
    assert [finding.setting for finding in findings] == ["capacity"]
    assert not list(SimDriver().lint(store.tier, Work("read", MIB, 1, 10)))


def test_it_says_that_it_is_a_simulation() -> None:
    store = a_store(10**9, 0, 1)
    assert store.virtual and store.path().kind == "simulated"


@given(
    st.integers(1, 10**12),
    st.integers(1, 1000),
    st.integers(0, 10**7),
    st.integers(1, 5),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 10**6),
)
def test_against_the_definition(
    numerator: int, denominator: int, latency: int, parallelism: int, depths: list[int], block: int
) -> None:
    """The recurrence of the docstring, in exact rationals."""
    bandwidth = Fraction(numerator, denominator)
    store = a_store(max(bandwidth, Fraction(1)), latency, parallelism)
    bandwidth = max(bandwidth, Fraction(1))
    lanes = [lane_of(store, i) for i in range(len(depths))]
    free = [Fraction(0)] * parallelism
    pipe = Fraction(0)

    def serve(now: int) -> int:
        nonlocal pipe
        server = min(range(parallelism), key=free.__getitem__)
        begin = max(max(Fraction(now), free[server]) + latency, pipe)
        pipe = free[server] = begin + Fraction(block * 10**9) / bandwidth
        return -(-pipe.numerator // pipe.denominator)

    expected = [[serve(0) for _ in range(depth)] for depth in depths]
    for lane, depth in zip(lanes, depths, strict=True):
        lane.submit(ops([block] * depth, WRITE))
    for _ in range(20):
        lane_no = min(range(len(lanes)), key=lambda i: (lanes[i].next_event_ns(), i))
        assert lanes[lane_no].next_event_ns() == expected[lane_no][0]
        done = reap(lanes[lane_no], 1)
        assert [end for _, _, end, _ in done] == expected[lane_no][: len(done)]
        del expected[lane_no][: len(done)]
        lanes[lane_no].submit(ops([block] * len(done), WRITE))
        expected[lane_no] += [serve(store.clock()) for _ in done]
