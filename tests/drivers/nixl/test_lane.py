"""The lane with a stand-in for NIXL's agent (`Agent`), which ends transfers when the test says so."""

import errno
import time

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, ERROR, OK, OPERATION, READ, WRITE, Layout, host_arena
from kvscen_drivers.nixl.agent import Place
from kvscen_drivers.nixl.lane import NixlLane

BLOCK = 4096
LAYOUT = Layout(16, BLOCK, BLOCK, 0, 16)


class StandIn:
    """Keeps what is posted; a transfer is done after so many looks at it, or at once where that is 0."""

    def __init__(self, looks=1):
        self.looks = looks
        self.made, self.posted, self.left, self.fails = [], [], {}, {}
        self.closed = False

    def turn_to(self, place):
        self.place = place

    def request(self, write, blocks):
        request = len(self.made)
        self.made.append((write, [tuple(int(value) for value in block) for block in blocks]))
        return request

    def post(self, request):
        assert request not in self.left, "posted while it is active"
        self.posted.append(request)
        if request in self.fails:
            raise self.fails[request]
        if not self.looks:
            return "DONE"
        self.left[request] = self.looks
        return "PROC"

    def look(self, request):
        self.left[request] -= 1
        if self.left[request]:
            return "PROC"
        del self.left[request]
        return "DONE"

    def close(self):
        self.closed = True


@pytest.fixture
def arena():
    arena = host_arena(16 * BLOCK, huge=False)
    yield arena
    arena.close()


def _lane(arena, agent, whole_batches=False, again=True, depth=16):
    lane = NixlLane(agent, arena, depth, time.perf_counter_ns, whole_batches=whole_batches, again=again)
    lane.turn_to(Place("FILE", 0, 3), LAYOUT)
    return lane


def _ops(keys, kind=READ, batch=0):
    ops = np.zeros(len(keys), OPERATION)
    ops["id"], ops["key"], ops["bytes"], ops["kind"], ops["batch"] = np.arange(len(keys)) + 1, keys, BLOCK, kind, batch
    ops["buffer"] = np.arange(len(keys)) * BLOCK
    return ops


def _reap(lane, count):
    out = np.zeros(count, COMPLETION)
    assert lane.reap(out, count, 10**9) == count
    return out


def test_each_operation_is_a_transfer_with_an_end_of_its_own(arena):
    agent = StandIn()
    lane = _lane(arena, agent)
    assert lane.submit(_ops([3, 4, 5])) == 3
    assert not agent.posted, "posted while it was submitted"
    done = _reap(lane, 3)
    assert [blocks for _, blocks in agent.made] == [
        [(arena.address + i * BLOCK, key * BLOCK, BLOCK)] for i, key in enumerate([3, 4, 5])
    ]
    assert (done["outcome"] == OK).all() and (done["bytes"] == BLOCK).all()
    assert len(set(done["end"].tolist())) == 3


def test_a_batch_is_one_transfer_and_ends_as_one(arena):
    agent = StandIn(looks=3)
    lane = _lane(arena, agent, whole_batches=True)
    assert lane.submit(_ops([0, 1, 2, 3], batch=[7, 7, 8, 8])) == 4
    done = _reap(lane, 4)
    assert [len(blocks) for _, blocks in agent.made] == [2, 2]
    assert done["end"][0] == done["end"][1] and done["end"][2] == done["end"][3]
    assert done["id"].tolist() == [1, 2, 3, 4]


def test_reads_and_writes_of_a_batch_are_transfers_of_their_own(arena):
    agent = StandIn()
    lane = _lane(arena, agent, whole_batches=True)
    lane.submit(_ops([0, 1, 2, 3], kind=[READ, READ, WRITE, READ]))
    _reap(lane, 4)
    assert [(write, len(blocks)) for write, blocks in agent.made] == [(False, 2), (True, 1), (False, 1)]


@pytest.mark.parametrize("whole_batches", [False, True])
def test_a_request_is_posted_again(arena, whole_batches):
    agent = StandIn()
    lane = _lane(arena, agent, whole_batches)
    for _ in range(3):
        lane.submit(_ops([0, 1, 2]))
        _reap(lane, 3)
    assert len(agent.posted) == 3 * len(agent.made)
    assert (lane.figures.transfers, lane.figures.made) == (len(agent.posted), len(agent.made))


def test_or_made_each_time(arena):
    agent = StandIn()
    lane = _lane(arena, agent, again=False)
    for _ in range(3):
        lane.submit(_ops([0]))
        _reap(lane, 1)
    assert len(agent.made) == 3


def test_the_same_twice_in_flight_is_two_requests(arena):
    agent = StandIn()
    lane = _lane(arena, agent)
    twice = _ops([5, 5])
    twice["buffer"] = 0
    for _ in range(2):
        lane.submit(twice)
        _reap(lane, 2)
    assert len(set(agent.posted)) == len(agent.made) == 3  # one of the two is kept


def test_another_layout_needs_other_requests(arena):
    agent = StandIn()
    lane = _lane(arena, agent)
    lane.submit(_ops([1]))
    _reap(lane, 1)
    lane.turn_to(Place("FILE", 0, 4), LAYOUT)
    lane.submit(_ops([1]))
    _reap(lane, 1)
    assert len(agent.made) == 2 and agent.place.device == 4


def test_a_failed_transfer_fails_all_of_its_operations(arena, caplog):
    class nixlRemoteDisconnectError(Exception):
        pass

    agent = StandIn()
    agent.fails = {0: nixlRemoteDisconnectError("gone")}
    lane = _lane(arena, agent, whole_batches=True)
    lane.submit(_ops([0, 1, 2, 3], batch=[1, 1, 2, 2]))
    done = np.sort(_reap(lane, 4), order="id")
    assert done["outcome"].tolist() == [ERROR, ERROR, OK, OK]
    assert done["errno"].tolist() == [errno.ECONNRESET] * 2 + [0, 0]
    assert done["bytes"].tolist() == [0, 0, BLOCK, BLOCK]
    assert "gone" in caplog.text
    lane.submit(_ops([0, 1], batch=1))
    assert (_reap(lane, 2)["outcome"] == OK).all()
    assert len(agent.made) == 3, "the request that failed was posted again"


def test_what_ends_in_the_post_needs_no_look(arena):
    agent = StandIn(looks=0)
    lane = _lane(arena, agent)
    lane.submit(_ops([0, 1]))
    assert (_reap(lane, 2)["outcome"] == OK).all()
    assert lane.figures.looks == 0


def test_few_rows_at_a_time(arena):
    lane = _lane(arena, StandIn(), whole_batches=True)
    lane.submit(_ops(range(5)))
    assert [_reap(lane, count)["id"].tolist() for count in (2, 2, 1)] == [[1, 2], [3, 4], [5]]
    assert lane.submit(_ops(range(16))) == 16


def test_what_never_ends_is_left_behind(arena, monkeypatch):
    monkeypatch.setattr("kvscen_drivers.nixl.lane._CLOSE_S", 0.05)
    left: list[object] = []
    monkeypatch.setattr("kvscen_drivers.nixl.lane._left_behind", left)
    agent = StandIn(looks=10**12)
    lane = _lane(arena, agent)
    lane.submit(_ops([0]))
    assert lane.reap(np.zeros(1, COMPLETION), 1, 1000) == 0
    lane.close()
    assert left == [agent] and not agent.closed
    assert lane.submit(_ops([1])) == 0
