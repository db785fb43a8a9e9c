"""The lane with a stand-in for NIXL's agent (`Agent`), which ends transfers when the test says so."""

import errno
import time

import numpy as np
import pytest

from kvscen.plugin import ANY_BUFFER, COMPLETION, ERROR, OK, OPERATION, READ, WRITE, Layout, host_arena
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


def _lane(arena, agent, whole_batches=False, again=True, depth=16, batch=16):
    lane = NixlLane(agent, arena, depth, time.perf_counter_ns, batch=batch if whole_batches else 0, again=again)
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


def _held_back(keys, batches, kind=READ):
    ops = _ops(keys, kind, batches)
    ops["buffer"] = ANY_BUFFER
    return ops


@pytest.mark.parametrize("depth", [1, 2])
def test_batches_beyond_the_limit_wait_for_those_before_them(arena, depth):
    agent = StandIn(looks=2)
    lane = _lane(arena, agent, whole_batches=True, batch=4)
    lane.limit(4 * depth)
    keys, batches = [*range(8), *range(8)], np.repeat(range(4), 4)
    assert lane.submit(_held_back(keys, batches)) == 16
    done = _reap(lane, 16)
    assert done["id"].tolist() == list(range(1, 17)) and (done["outcome"] == OK).all()
    starts, ends = (done[name].reshape(4, 4) for name in ("submit", "end"))
    assert (starts == starts[:, :1]).all() and (ends == ends[:, :1]).all()
    for start in starts[:, 0]:
        assert np.count_nonzero((starts[:, 0] <= start) & (ends[:, 0] > start)) <= depth
    part = arena.nbytes // (4 * depth)
    for _, blocks in agent.made:
        first = (blocks[0][0] - arena.address) // part
        assert first % 4 == 0 and [address for address, _, _ in blocks] == [
            arena.address + (first + number) * part for number in range(4)
        ]
    # The same keys in the same buffers are the same request.
    lane.submit(_held_back(keys, batches))
    _reap(lane, 16)
    assert len(agent.made) == 2 * depth and len(agent.posted) == 8


def test_what_waits_is_posted_while_there_is_room_for_few_rows(arena):
    agent = StandIn(looks=0)
    lane = _lane(arena, agent, whole_batches=True, batch=2)
    lane.limit(2)
    lane.submit(_held_back(range(6), [0, 0, 1, 1, 2, 2]))
    assert [_reap(lane, count)["id"].tolist() for count in (1, 4, 1)] == [[1], [2, 3, 4, 5], [6]]


def test_a_batch_of_several_transfers_holds_its_buffers_until_the_last_has_ended(arena):
    agent = StandIn()
    agent.fails = {1: RuntimeError("gone")}
    lane = _lane(arena, agent, whole_batches=True, batch=4)
    lane.limit(4)
    kinds = [READ, WRITE, WRITE, READ] + [READ] * 4
    lane.submit(_held_back(range(8), [0] * 4 + [1] * 4, kinds))
    done = np.sort(_reap(lane, 8), order="id")
    assert done["outcome"].tolist() == [OK, ERROR, ERROR, OK] + [OK] * 4
    assert [len(blocks) for _, blocks in agent.made] == [1, 2, 1, 4]
    assert done["submit"][4] >= done["end"][:4].max()


def test_what_cannot_be_done_is_refused_when_its_batch_starts(arena):
    agent = StandIn()
    lane = _lane(arena, agent, whole_batches=True, batch=2)
    lane.limit(2)
    lane.submit(_held_back([99, 98, 97, 1], [0, 0, 1, 1]))
    done = np.sort(_reap(lane, 4), order="id")
    assert done["outcome"].tolist() == [ERROR] * 3 + [OK] and done["errno"].tolist() == [errno.EINVAL] * 3 + [0]
    assert (done["end"] >= done["submit"]).all() and (done["submit"] > 0).all()


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
