"""The hot loop against a lane that completes in any order and accepts in any portions."""

from __future__ import annotations

from fractions import Fraction

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.execute.loop import Beat, LaneLoop, Quota, Shape, run_loops
from kvscen.execute.slots import ContractBroken
from kvscen.measure.recorder import Recorder, Window
from kvscen.pattern.source import Keys, LaneSource
from kvscen.plan.point import Work
from kvscen.plugin import ANY_BUFFER, COMPLETION, ERROR, Rows, Store, VirtualLane

WORK = Work(op="read", block_bytes=512, batch=4, keys=64)


class RandomLane(VirtualLane):
    """Accepts and completes as its draws say; keeps what it saw. Time goes on by one at each reap."""

    def __init__(self, seed: int, capacity: int, fail: bool = False) -> None:
        self.draws = np.random.Generator(np.random.PCG64(seed))
        self.capacity = capacity
        self.fail = fail
        self.flying: list[np.void] = []
        self.seen: list[np.void] = []
        self.most = 0
        self.asked: list[int] = []
        self.now = 0

    def submit(self, ops: Rows) -> int:
        count = int(self.draws.integers(0 if self.flying else 1, len(ops) + 1))
        count = min(count, self.capacity - len(self.flying))
        for op in ops[:count]:
            if op["buffer"] != ANY_BUFFER:
                assert all(op["buffer"] != other["buffer"] for other in self.flying), "a lent buffer was given again"
            self.flying.append(op.copy())
            self.seen.append(op.copy())
        self.most = max(self.most, len(self.flying))
        return count

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        self.now += 1
        self.asked.append(at_least)
        count = int(self.draws.integers(at_least, len(self.flying) + 1)) if self.flying else 0
        for row in range(count):
            op = self.flying.pop(int(self.draws.integers(len(self.flying))))
            out[row] = np.zeros(1, COMPLETION)[0]
            out[row]["id"], out[row]["bytes"], out[row]["end"] = op["id"], op["bytes"], self.now
            if self.fail and self.draws.random() < 0.1:
                out[row]["outcome"], out[row]["errno"], out[row]["bytes"] = ERROR, 5, 0
        return count

    def next_event_ns(self) -> int | None:
        return self.now


class VirtualStore(Store):
    virtual = True

    def __init__(self, lane: RandomLane) -> None:
        self.lane_ = lane

    def clock(self) -> int:
        return self.lane_.now


def loop_of(lane: RandomLane, work: Work, shape: Shape, count: int) -> tuple[LaneLoop, Recorder, Store]:
    store = VirtualStore(lane)
    recorder = Recorder(Window(0, None), work.batch, work.batch, work.rate_per_s is not None)
    source = LaneSource(work, Keys(0, work.keys), work.block_bytes, seed=1)
    return LaneLoop(store, lane, source, shape, Beat(), recorder=recorder, quota=Quota(count)), recorder, store


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(1, 100),
    st.booleans(),
    st.integers(0, 4),
)
def test_every_operation_is_submitted_and_recorded_once(
    seed: int, slots: int, capacity: int, count: int, fail: bool, ahead: int
) -> None:
    lane = RandomLane(seed, capacity, fail)
    loop, recorder, store = loop_of(lane, WORK, Shape(slots, 512, ahead=ahead), count)
    run_loops([loop], store)
    sample = recorder.finish()
    assert len(lane.seen) == count == sample.operations + sample.errors
    assert [int(op["key"]) for op in lane.seen] == [number % 64 for number in range(count)]
    assert lane.most <= min(slots, capacity)
    # Nothing more is waited for than is in flight, nor more than the lane holds back.
    assert max(lane.asked) <= min(max(1, ahead), slots, capacity, count)
    assert {op["buffer"] == ANY_BUFFER for op in lane.seen} == {ahead > 0}
    assert bool(loop.first_error) == bool(sample.errors)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 12), st.integers(1, 8))
def test_a_batch_is_posted_when_one_has_ended(seed: int, batches: int, slots: int, batch: int) -> None:
    work = attrs.evolve(WORK, wait="batch", batch=batch)
    lane = RandomLane(seed, 100)
    loop, recorder, store = loop_of(lane, work, Shape(slots, 512, batch, batches), batch * 10)
    most = 0
    while loop.step():
        most = max(most, len({int(op["batch"]) for op in lane.flying}))
    assert most <= batches
    assert recorder.finish().operations == batch * 10
    assert store.virtual


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 80), st.integers(1, 4))
def test_whole_batches_are_given_ahead(seed: int, batches: int, batch: int, ahead: int) -> None:
    """Where the lane holds them back: each batch in one piece, however long the load is."""

    class Whole(RandomLane):
        def submit(self, ops: Rows) -> int:
            batches = ops["batch"].reshape(-1, batch)
            assert (batches == batches[:, :1]).all()
            self.flying += [op.copy() for op in ops]
            self.seen += [op.copy() for op in ops]
            return len(ops)

    work = attrs.evolve(WORK, wait="batch", batch=batch)
    lane = Whole(seed, 10**6)
    shape = Shape((batches + ahead) * batch, 512, batch, batches, ahead=ahead * batch)
    count = batch * (5000 // batch)
    loop, recorder, store = loop_of(lane, work, shape, count)
    run_loops([loop], store)
    assert recorder.finish().operations == count == len(lane.seen)
    assert [int(op["key"]) for op in lane.seen] == [number % 64 for number in range(count)]


def test_an_open_loop_submits_nothing_before_it_is_due() -> None:
    work = attrs.evolve(WORK, rate_per_s=Fraction(10**9, 7))
    lane = RandomLane(3, 100)
    loop, _, _ = loop_of(lane, work, Shape(100, 512), 50)
    submitted_at: list[int] = []
    while True:
        before = len(lane.seen)
        loop.fill()
        submitted_at += [lane.now] * (len(lane.seen) - before)
        if loop.finished:
            break
        loop.wait()
    assert len(lane.seen) == 50
    assert all(at >= int(op["due"]) for at, op in zip(submitted_at, lane.seen, strict=True))


@pytest.mark.parametrize("change", [{"id": 12345 << 16}, {"bytes": 1}])
def test_a_lane_that_lies_is_not_believed(change: dict[str, int]) -> None:
    class Liar(RandomLane):
        def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
            count = super().reap(out, at_least, timeout_ns)
            for name, value in change.items():
                out[:count][name] = value
            return count

    loop, _, store = loop_of(Liar(1, 8), WORK, Shape(8, 512), 10)
    with pytest.raises(ContractBroken):
        run_loops([loop], store)
