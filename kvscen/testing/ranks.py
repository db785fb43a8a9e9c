"""The contract of a driver whose workers are ranks (`Driver.ranks`), as a test suite. Subclass it:

    from kvscen.testing.ranks import RanksContract

    class TestMyRanks(RanksContract):
        @pytest.fixture
        def driver(self):
            return MyDriver()

        @pytest.fixture
        def settings(self):
            return MySettings()

The ranks are in one process here, each with a store of its own. Needs pytest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import pytest

from kvscen.plan.traffic import Flow, Step, Traffic
from kvscen.plugin import (
    COMPLETION,
    ERROR,
    OK,
    OPERATION,
    WRITE,
    Arena,
    Driver,
    Footprint,
    Inbox,
    Lane,
    Rows,
    Store,
    Tier,
    Work,
)

#: A lane that gives nothing for so long has lost an operation.
STALL_S = 20.0
#: Rank 0 sends to itself, to rank 1 an odd number of bytes, and to rank 2; rank 1 answers.
STEP = Step((Flow(0, 0, 64), Flow(0, 1, 70_001), Flow(0, 2, 1 << 20), Flow(1, 0, 4096)))
RANKS = 3
_POISON = 0xA5


@attrs.frozen
class Rank:
    store: Store
    outbox: Arena
    lane: Lane
    inbox: Inbox


class RanksContract:
    """The tests. Override `driver` and `settings`."""

    @pytest.fixture
    def driver(self) -> Driver:
        raise NotImplementedError("override the fixture `driver`")

    @pytest.fixture
    def settings(self) -> Any:
        raise NotImplementedError("override the fixture `settings`: an instance of the driver's settings class")

    @pytest.fixture
    def work(self) -> Work:
        traffic = Traffic(RANKS, "sequence", (STEP,))
        return Work("write", 1 << 20, len(STEP.flows), RANKS, processes=RANKS, time_ns=10**9, traffic=traffic)

    @pytest.fixture
    def ranks(self, driver: Driver, settings: Any, work: Work) -> Iterator[Sequence[Rank]]:
        opened = [_opened(driver, Tier("under_test", driver.name, settings), work, rank) for rank in range(RANKS)]
        _meet(opened)
        yield opened
        for rank in opened:
            _close(rank)

    def test_it_says_so(self, driver: Driver, settings: Any, work: Work) -> None:
        assert driver.ranks
        tier = Tier("under_test", driver.name, settings)
        assert not [finding for finding in driver.lint(tier, work) if finding.severity.value == "error"]
        footprint = driver.footprint(tier, work)
        assert isinstance(footprint, Footprint)
        assert work.traffic is not None
        assert footprint.memory_bytes >= work.traffic.memory_bytes and not footprint.disk_bytes

    def test_every_byte_arrives_where_it_was_sent(self, ranks: Sequence[Rank]) -> None:
        for _ in range(3):  # the same transfers again and again, as they are measured
            for rank in ranks:
                rank.outbox.view[:] = np.random.default_rng(1).integers(0, 256, rank.outbox.nbytes, np.uint8)
                rank.inbox.arena.view[:] = _POISON
            for number, rank in enumerate(ranks):
                done = self._sent(ranks, rank, _operations(number))
                assert (done["outcome"] == OK).all()
                assert (done["end"] >= done["submit"]).all()
            expected = [np.full(rank.inbox.arena.nbytes, _POISON, np.uint8) for rank in ranks]
            for flow, here, there in STEP.placed():
                sent = ranks[flow.sender].outbox.view[here : here + flow.nbytes]
                expected[flow.receiver][there : there + flow.nbytes] = sent
            for rank, wanted in zip(ranks, expected, strict=True):
                assert np.array_equal(rank.inbox.arena.view, wanted)

    def test_what_is_nowhere_fails(self, ranks: Sequence[Rank]) -> None:
        ops = _operations(0)[1:2].copy()
        for changes in ({"key": RANKS}, {"offset": 1 << 40}, {"offset": ranks[1].inbox.arena.nbytes - 1}, {"kind": 0}):
            wrong = ops.copy()
            for name, value in changes.items():
                wrong[name] = value
            ranks[1].inbox.arena.view[:] = _POISON
            [done] = self._sent(ranks, ranks[0], wrong)
            assert done["outcome"] == ERROR and done["errno"] and not done["bytes"], changes
            assert (ranks[1].inbox.arena.view == _POISON).all()

    def test_waiting_is_quick_and_brings_nothing(self, ranks: Sequence[Rank]) -> None:
        for rank in ranks:
            assert rank.lane.reap(np.zeros(0, COMPLETION), 0, 0) == 0

    def test_a_rank_that_was_opened_anew(self, driver: Driver, settings: Any, work: Work, ranks: list[Rank]) -> None:
        _close(ranks[1])
        ranks[1] = _opened(driver, Tier("under_test", driver.name, settings), work, 1)
        _meet(ranks)
        self.test_every_byte_arrives_where_it_was_sent(ranks)

    def _sent(self, ranks: Sequence[Rank], own: Rank, ops: Rows) -> Rows:
        """Send; the other ranks help along meanwhile. The completions in the order of their ids."""
        out, nothing = np.zeros(len(ops), COMPLETION), np.zeros(0, COMPLETION)
        submitted = found = 0
        deadline = time.monotonic() + STALL_S
        while found < len(ops):
            assert time.monotonic() < deadline, f"{len(ops) - found} transfers did not end"
            submitted += own.lane.submit(ops[submitted:])
            found += own.lane.reap(out[found:], 1, 1_000_000)
            for rank in ranks:
                if rank is not own:
                    rank.lane.reap(nothing, 0, 0)
        return np.sort(out, order="id")


def _opened(driver: Driver, tier: Tier, work: Work, rank: int) -> Rank:
    assert work.traffic is not None
    store = driver.open(tier, work, ())
    outbox = store.allocate(max(work.traffic.outbox_bytes(rank), 1), "dram")
    lane = store.lane(0, outbox)
    return Rank(store, outbox, lane, store.offer(max(work.traffic.inbox_bytes(rank), 1)))


def _meet(ranks: Sequence[Rank]) -> None:
    for rank in ranks:
        rank.store.meet([each.inbox.card for each in ranks])


def _close(rank: Rank) -> None:
    rank.lane.close()
    rank.outbox.close()
    rank.inbox.arena.close()
    rank.store.close()


def _operations(rank: int) -> Rows:
    own = [(flow, here, there) for flow, here, there in STEP.placed() if flow.sender == rank]
    ops = np.zeros(len(own), OPERATION)
    ops["kind"] = WRITE
    for number, (flow, here, there) in enumerate(own):
        for name, value in (("id", number + 1), ("key", flow.receiver), ("bytes", flow.nbytes)):
            ops[name][number] = value
        ops["buffer"][number], ops["offset"][number] = here, there
    return ops
