"""The lane for synchronous stores, and the arena."""

import errno
import threading
import time

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, ERROR, MISS, OK, OPERATION, DriverError, Miss, ThreadLane, host_arena
from kvscen.plugin import arena as arena_module


class Echo:
    """Transfers what `act` says; remembers in which threads."""

    def __init__(self, act=lambda op: int(op["bytes"])):
        self.act = act
        self.threads = set()

    def transfer(self, op, view):
        self.threads.add(threading.current_thread())
        return self.act(op)


def _ops(count, nbytes=64):
    ops = np.zeros(count, OPERATION)
    ops["id"] = ops["key"] = np.arange(count) + 100
    ops["bytes"] = nbytes
    return ops


def _all(lane, count):
    out = np.zeros(count, COMPLETION)
    found = 0
    deadline = time.monotonic() + 20
    while found < count and time.monotonic() < deadline:
        found += lane.reap(out[found:], 1, 10_000_000)
    assert found == count
    return np.sort(out, order="id")


@pytest.fixture
def arena():
    made = host_arena(4096, huge=False)
    yield made
    made.close()


@pytest.mark.parametrize(("depth", "threads"), [(1, None), (8, 1), (2, None), (8, None), (8, 3)])
def test_every_operation_comes_back(arena, depth, threads):
    store = Echo()
    lane = ThreadLane(store, arena, depth, time.perf_counter_ns, threads=threads)
    seen = []
    for _ in range(30):
        assert lane.submit(_ops(depth + 3)) == depth
        assert lane.submit(_ops(1)) == 0
        done = _all(lane, depth)
        seen.append(done["id"].tolist())
        assert (done["outcome"] == OK).all() and (done["bytes"] == 64).all() and (done["end"] >= done["submit"]).all()
    assert all(ids == list(range(100, 100 + depth)) for ids in seen)
    lane.close()
    inline = depth == 1 or threads == 1
    assert (store.threads == {threading.current_thread()}) == inline


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize(
    ("what", "outcome", "code"),
    [
        (OSError(errno.ENOSPC, "full"), ERROR, errno.ENOSPC),
        (OSError("no number"), ERROR, errno.EIO),
        (ZeroDivisionError("a bug"), ERROR, errno.EIO),
        (KeyError("a bug, not a miss"), ERROR, errno.EIO),
        (Miss(), MISS, 0),
    ],
)
def test_what_a_transfer_raises_is_the_operations_outcome(arena, depth, what, outcome, code):
    def act(op):
        if op["id"] == 101 or depth == 1:
            raise what
        return int(op["bytes"])

    lane = ThreadLane(Echo(act), arena, depth, time.perf_counter_ns)
    assert lane.submit(_ops(depth)) == depth
    done = _all(lane, depth)
    bad = done[min(1, depth - 1)]
    assert (bad["outcome"], bad["errno"], bad["bytes"]) == (outcome, code, 0)
    assert (done["outcome"] == OK).sum() == depth - 1
    lane.close()


def test_an_error_that_is_no_oserror_is_logged_once(arena, caplog):
    lane = ThreadLane(Echo(lambda op: 1 // 0), arena, 4, time.perf_counter_ns, threads=1)
    lane.submit(_ops(4))
    _all(lane, 4)
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


@pytest.mark.parametrize("depth", [1, 4])
def test_a_short_transfer_is_an_error_with_the_bytes_moved(arena, depth):
    lane = ThreadLane(Echo(lambda op: 48), arena, depth, time.perf_counter_ns)
    lane.submit(_ops(depth))
    done = _all(lane, depth)
    assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.EIO).all() and (done["bytes"] == 48).all()
    lane.close()


def test_a_hanging_thread_does_not_block_close(arena, monkeypatch):
    monkeypatch.setattr("kvscen.plugin.threads._CLOSE_S", 0.05)
    release = threading.Event()

    def act(op):
        if op["id"] == 100:
            release.wait()
        return int(op["bytes"])

    lane = ThreadLane(Echo(act), arena, 3, time.perf_counter_ns)
    assert lane.submit(_ops(3)) == 3
    out = np.zeros(8, COMPLETION)
    found = 0
    while found < 2:
        found += lane.reap(out[found:], 1, 10_000_000)
    assert lane.reap(out[2:], 1, 1_000_000) == 0
    assert sorted(out["id"][:2]) == [101, 102]
    closer = threading.Thread(target=lane.close)
    closer.start()
    closer.join(20)
    assert not closer.is_alive()
    release.set()


def test_reap_takes_no_more_than_there_is_room_for(arena):
    for threads in (1, None):
        lane = ThreadLane(Echo(), arena, 4, time.perf_counter_ns, threads=threads)
        lane.submit(_ops(4))
        out = np.zeros(3, COMPLETION)
        found = 0
        while found < 4:
            count = lane.reap(out, 3, 10_000_000)
            assert count <= 3
            found += count
        lane.close()


def test_arena_is_touched_aligned_and_says_what_it_is_made_of():
    for huge, grain in ((True, 2 << 20), (False, 4096)):
        arena = host_arena(3 << 20, huge=huge)
        assert arena.address % grain == 0
        assert arena.nbytes == 3 << 20
        assert arena.pages in ({"huge", "mixed", "small"} if huge else {"small"})
        assert not arena.view.any()
        piece = arena.view[:10]
        arena.close()
        assert arena.nbytes == 0
        piece[:] = 1  # a piece that somebody holds is still memory


def test_arena_that_does_not_fit_is_a_sentence():
    with pytest.raises(DriverError, match=r"1024 TiB do not fit in the .* of free memory") as refused:
        host_arena(1 << 50)
    assert "depth" in refused.value.remedy


def test_arena_that_the_kernel_refuses_is_a_sentence(monkeypatch):
    monkeypatch.setattr(arena_module, "available_bytes", lambda: None)
    with pytest.raises(DriverError, match="the kernel refuses"):
        host_arena(1 << 60)
