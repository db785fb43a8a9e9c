"""The driver `memory`."""

import errno

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, ERROR, OK, OPERATION, READ, WRITE, DriverError, Layout, Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.memory import MemoryDriver, MemorySettings, _blocks_of


class TestContract(DriverContract):
    @pytest.fixture
    def driver(self):
        return MemoryDriver()

    @pytest.fixture
    def settings(self):
        return MemorySettings()


@pytest.fixture(autouse=True)
def _no_leftovers():
    yield
    _blocks_of.clear()


def _open(keys=8, block=4096, capacity=None):
    work = Work(op="read", block_bytes=block, batch=4, keys=keys)
    return MemoryDriver().open(Tier("dram", "memory", MemorySettings(capacity_bytes=capacity)), work, ())


def test_capacity_names_both_sizes():
    store = _open(capacity=64 << 10)
    with pytest.raises(DriverError, match=r"tier `dram`: 1 MiB of blocks .* capacity of 64 KiB") as refused:
        store.prepare(Layout(64, 16384, 16384, 0, 64))
    assert "capacity" in refused.value.remedy
    assert len(store.prepare(Layout(4, 16384, 16384, 0, 4))) == 4


def test_capacity_is_of_all_workers_together():
    store = _open(capacity=64 << 10)
    with pytest.raises(DriverError, match="128 KiB"):
        store.prepare(Layout(2, 16384, 16384, 2, 8))


def test_reading_what_was_never_written_is_an_error():
    store = _open()
    arena = store.allocate(4096, "dram")
    lane = store.lane(0, arena)
    assert list(store.prepare(Layout(8, 4096, 4096, 100, 8))) == list(range(100, 108))
    op, out = np.zeros(1, OPERATION), np.zeros(1, COMPLETION)
    op["key"], op["bytes"], op["kind"] = 103, 4096, READ
    assert lane.submit(op) == 1
    assert lane.reap(out, 1, 10**9) == 1
    assert (out["outcome"][0], out["errno"][0], out["bytes"][0]) == (ERROR, errno.ENODATA, 0)


def test_a_block_that_does_not_fit_the_capacity_is_found_by_lint():
    work = Work(op="read", block_bytes=1 << 20, batch=4, keys=100)
    tier = Tier("dram", "memory", MemorySettings(capacity_bytes=10 << 20))
    (finding,) = MemoryDriver().lint(tier, work)
    assert finding.code == "KVS311"
    assert "100 MiB" in finding.message and "10 MiB" in finding.message
    assert not list(MemoryDriver().lint(Tier("dram", "memory", MemorySettings()), work))


def test_path_says_memory():
    assert _open().path().kind == "memory"


def test_points_of_a_tier_share_its_memory():
    """A worker keeps several points open: together they take what the largest needs."""
    small, large = _open(), _open()
    arena = small.allocate(4096, "dram")
    lane = small.lane(0, arena)
    small.prepare(Layout(8, 4096, 4096, 0, 8))
    op, out = np.zeros(1, OPERATION), np.zeros(1, COMPLETION)
    op["key"], op["bytes"], op["kind"] = 7, 4096, WRITE
    arena.view[:] = 42
    lane.submit(op)
    assert lane.reap(out, 1, 10**9) == 1
    assert len(large.prepare(Layout(1024, 4096, 4096, 0, 1024))) == 1024
    assert large._blocks is small._blocks and len(large._blocks.data) == 4 << 20
    arena.view[:] = 0
    op["kind"] = READ
    lane.submit(op)
    assert lane.reap(out, 1, 10**9) == 1
    assert out["outcome"][0] == OK and (arena.view == 42).all()
    small.close()
    assert len(large._blocks.data) == 4 << 20
    large.close()
    assert not _blocks_of
