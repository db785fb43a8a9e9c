"""The driver's logic on a stand-in for CUDA's bindings: the contract, errors, and what is given back."""

import numpy as np
import pytest

from kvscen.plugin import (
    COMPLETION,
    OK,
    OPERATION,
    READ,
    WRITE,
    DriverError,
    Layout,
    Lost,
    Tier,
    Unavailable,
    Work,
    host_arena,
)
from kvscen.testing.contract import DriverContract
from kvscen_drivers.gpu import cuda, trial
from kvscen_drivers.gpu.driver import GpuDriver
from kvscen_drivers.gpu.settings import GpuSettings
from tests.drivers.gpu.standin import CUresult, StandIn


class TestContract(DriverContract):
    @pytest.fixture(autouse=True)
    def _no_gpu(self, standin, monkeypatch):
        verdict = trial.Verdict(("Stand-in",), "13.0")
        monkeypatch.setattr(trial, "examine", lambda device: verdict)

    @pytest.fixture
    def driver(self):
        return GpuDriver()

    @pytest.fixture
    def settings(self):
        return GpuSettings()


class TestContractWithinTheGpu(TestContract):
    memory = "vram"


class TestContractOfBatches(TestContract):
    """Where the core posts whole batches."""

    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, wait="batch", threads=2)


BLOCK, KEYS = 4096, 16


def _store(memory="dram", **settings):
    work = Work(op="mixed", block_bytes=BLOCK, batch=4, keys=KEYS, memory=memory)
    store = GpuDriver().open(Tier("vram", "gpu", GpuSettings(**settings)), work, ())
    store.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))
    return store


def _ops(kind, keys=range(KEYS)):
    ops = np.zeros(len(keys), OPERATION)
    ops["id"] = ops["key"] = keys
    ops["bytes"], ops["kind"] = BLOCK, kind
    ops["buffer"] = np.arange(len(keys)) * BLOCK
    return ops


def _run(lane, ops):
    assert lane.submit(ops) == len(ops)
    out = np.zeros(len(ops), COMPLETION)
    assert lane.reap(out, len(ops), 10**10) == len(ops)
    return out


def test_all_that_was_taken_is_given_back(standin):
    for memory in ("dram", "vram"):
        store = _store(memory)
        arena = store.allocate(KEYS * BLOCK, memory)
        lane = store.lane(0, arena)
        assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()
        assert standin.allocated
        assert standin.events
        lane.close()
        arena.close()
        store.close()
        assert not standin.allocated
        assert not standin.pinned
        assert not standin.events


def test_host_memory_of_others_is_pinned_while_the_lane_is_open(standin):
    """As a level of a tiered tier has it: another level made the buffers."""
    store, arena = _store(), host_arena(KEYS * BLOCK)
    first, second = store.lane(0, arena), store.lane(1, arena)
    assert standin.pinned == {arena.address: arena.nbytes}
    assert (_run(second, _ops(WRITE))["outcome"] == OK).all()
    second.close()
    assert standin.pinned, "the first lane pinned it, and is open"
    first.close()
    assert not standin.pinned
    store.close()


def test_points_of_a_tier_share_its_memory(standin):
    stores = [_store(), _store()]
    assert len(standin.allocated) == 1
    stores[0].prepare(Layout(2 * KEYS, BLOCK, BLOCK, 0, 2 * KEYS))
    assert sum(map(len, standin.allocated.values())) == 2 * KEYS * BLOCK
    for store in stores:
        store.close()
    assert not standin.allocated


def test_copies_are_timed_on_the_gpu(standin):
    store = _store()
    arena = store.allocate(KEYS * BLOCK, "dram")
    lane = store.lane(0, arena)
    _run(lane, _ops(WRITE))
    assert store.measures()["copy_mean_ns"] > 0
    assert store.measures()["copy_p99_ns"] is None, "too few copies for a percentile"
    for _ in range(100):
        _run(lane, _ops(READ))
    assert store.measures()["copy_p99_ns"] > 0
    store.reset()
    assert store.measures()["copy_mean_ns"] is None
    assert "Stand-in, 64 MiB" in store.measures()["gpu"]
    lane.close()
    arena.close()
    store.close()


def test_a_read_of_what_was_never_written_is_an_error(standin):
    store = _store()
    arena = store.allocate(KEYS * BLOCK, "dram")
    lane = store.lane(0, arena)
    done = _run(lane, _ops(READ, [3]))
    assert (done["outcome"] != OK).all()
    store.close()


@pytest.mark.parametrize("call", ["cuMemcpyAsync", "cuEventRecord", "cuEventQuery", "cuEventElapsedTime"])
def test_a_gpu_lost_in_the_middle_is_one_sentence(standin, call):
    store = _store()
    arena = store.allocate(KEYS * BLOCK, "dram")
    lane = store.lane(0, arena)
    _run(lane, _ops(WRITE))
    standin.fail(call, 2, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)
    with pytest.raises(Lost, match=r"GPU 0 \(Stand-in\): .* failed: CUDA_ERROR_ECC_UNCORRECTABLE \(what") as lost:
        _run(lane, _ops(READ))
    assert "nvidia-smi" in lost.value.remedy
    for other in ("cuMemFree", "cuMemHostUnregister", "cuEventDestroy", "cuStreamDestroy", "cuEventQuery"):
        standin.fail(other, 0, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)
    lane.close()
    arena.close()
    store.close()


@pytest.mark.parametrize("memory", ["dram", "vram"])
def test_a_gpu_lost_before_a_copy(standin, memory):
    store = _store(memory)
    arena = store.allocate(KEYS * BLOCK, memory)
    for call in ("cuCtxSetCurrent", "cuStreamCreate"):
        standin.fail(call, 0, CUresult.CUDA_ERROR_LAUNCH_FAILED)
    with pytest.raises(Lost, match="CUDA_ERROR_LAUNCH_FAILED"):
        store.lane(0, arena)


def test_blocks_that_do_not_fit(standin):
    with pytest.raises(DriverError, match=r"128 MiB of blocks do not fit in the .* free of 64 MiB of GPU 0") as short:
        _store().prepare(Layout(128, 1 << 20, 1 << 20, 0, 128))
    assert "working_set" in short.value.remedy
    with pytest.raises(DriverError, match=r"1 MiB of blocks do not fit in its capacity of 512 KiB") as short:
        _store(capacity_bytes=512 << 10).prepare(Layout(256, 4096, 4096, 0, 256))
    assert "capacity" in short.value.remedy


def test_buffers_that_do_not_fit(standin):
    with pytest.raises(DriverError, match=r"65.06 MiB of buffers do not fit") as short:
        _store("vram").allocate(65 << 20, "vram")
    assert "depth" in short.value.remedy
    standin.fail("cuMemAlloc", 0, CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    with pytest.raises(DriverError, match="in one piece"):
        _store("vram").allocate(1 << 20, "vram")
    standin.fail("cuMemHostRegister", 0, CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    with pytest.raises(DriverError, match=r"1 MiB of buffers cannot be pinned: .*OUT_OF_MEMORY"):
        _store().allocate(1 << 20, "dram")


def test_no_gpu_of_this_number(standin):
    with pytest.raises(Unavailable, match="no GPU 3: CUDA sees 1") as none:
        _store(device=3)
    assert "device" in none.value.remedy


def test_no_gpu_at_all(monkeypatch):
    monkeypatch.setattr(cuda, "bindings", lambda: StandIn(gpus=0))
    cuda._opened.cache_clear()
    with pytest.raises(Unavailable, match="GPU 0 cannot be used: cuInit failed: CUDA_ERROR_NO_DEVICE"):
        _store()


def test_a_child_lists_the_gpus(standin):
    standin.gpus = 2
    assert trial.answer(1) == trial.Verdict(
        ("Stand-in, 64 MiB, 0000:00:00.0", "Stand-in, 64 MiB, 0000:01:00.0"), "13.0"
    )
    assert "no GPU 2" in trial.answer(2).reason
