"""The driver's logic on stand-ins for the bindings: the contract, errors, the clamp, and which way blocks went."""

import numpy as np
import pytest

from kvscen.plugin import (
    COMPLETION,
    ERROR,
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
)
from kvscen.testing.contract import DriverContract
from kvscen_drivers.gds import cufile, trial
from kvscen_drivers.gds.clamp import Configuration, clamp
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings
from tests.drivers.gpu.standin import CUresult

MIB = 1 << 20


class TestBatch(DriverContract):
    mode = "batch"

    @pytest.fixture(autouse=True)
    def _no_gpu(self, cufile_standin):
        pass

    @pytest.fixture
    def driver(self):
        return GdsDriver()

    @pytest.fixture
    def settings(self, tmp_path):
        return GdsSettings(path=str(tmp_path / "blocks"), mode=self.mode, allow_buffered=True).complete()


class TestBatchToTheGpu(TestBatch):
    memory = "vram"


class TestStream(TestBatch):
    mode = "stream"


class TestStreamToTheGpu(TestBatch):
    mode = "stream"
    memory = "vram"


class TestStreamOfPages(TestStreamToTheGpu):
    """All of whole pages, which cuFile is told."""

    block_bytes = 5 * 4096


class TestSync(TestBatch):
    mode = "sync"


class TestSyncToTheGpu(TestBatch):
    mode = "sync"
    memory = "vram"


BLOCK, KEYS = 8192, 16


@pytest.fixture
def make(tmp_path, cufile_standin):
    """`make(memory=..., work={...}, **settings)` gives an open store with its keys laid out, a lane and its arena."""
    opened = []

    def _make(memory="vram", work=None, **settings):
        work = Work(**{"op": "mixed", "block_bytes": BLOCK, "batch": 4, "keys": KEYS, "memory": memory} | (work or {}))
        settings = GdsSettings(**{"path": str(tmp_path / "blocks"), "allow_buffered": True} | settings).complete()
        store = GdsDriver().open(Tier("fast", "gds", settings), work, ())
        opened.append(store)
        store.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))
        arena = store.allocate(KEYS * BLOCK, memory)
        lane = store.lane(0, arena)
        opened[:0] = [lane, arena]
        return store, lane, arena

    yield _make
    for thing in opened:
        thing.close()


def _ops(kind, keys=range(KEYS)):
    ops = np.zeros(len(keys), OPERATION)
    ops["id"] = ops["key"] = keys
    ops["bytes"], ops["kind"] = BLOCK, kind
    ops["buffer"] = np.arange(len(keys)) * BLOCK
    return ops


def _run(lane, ops):
    assert lane.submit(ops) == len(ops)
    out = np.zeros(len(ops), COMPLETION)
    count = 0
    while count < len(ops):
        count += lane.reap(out[count:], len(ops) - count, 10**9)
    return out[np.argsort(out["id"])]


@pytest.mark.parametrize("mode", ["batch", "stream", "sync"])
@pytest.mark.parametrize("memory", ["dram", "vram"])
def test_all_that_was_taken_is_given_back(make, standin, cufile_standin, mode, memory):
    store, lane, arena = make(memory, mode=mode)
    assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()
    assert cufile_standin.buffers == {arena.address: arena.nbytes}
    for thing in (lane, arena, store):
        thing.close()
    assert not cufile_standin.buffers
    assert not cufile_standin.files
    assert not cufile_standin.batches
    assert not cufile_standin.streams
    assert not standin.events
    assert not standin.allocated
    assert not standin.pinned


@pytest.mark.parametrize("mode", ["batch", "stream", "sync"])
@pytest.mark.parametrize(("status", "moved"), [(16, BLOCK // 2), (64, BLOCK), (16, 2**64 - 5)])
def test_an_operation_that_did_not_move_all_is_an_error(make, cufile_standin, mode, status, moved):
    """cuFile says so in two places, and a library that looks at neither counts it as done."""
    if mode != "batch":
        moved = {BLOCK // 2: BLOCK // 2, BLOCK: -5011, 2**64 - 5: -5}[moved]
    _, lane, _ = make(mode=mode, work={"batch": 1})
    _run(lane, _ops(WRITE))
    cufile_standin.spoil[16] = status, moved
    done = _run(lane, _ops(READ))
    bad = done["outcome"] == ERROR
    assert bad.sum() == 1
    assert done["errno"][bad] == [5]
    assert (done["bytes"][bad] < BLOCK).all()


@pytest.mark.parametrize("call", ["batch_io_submit", "batch_io_get_status"])
def test_a_call_that_fails_fails_its_operations(make, cufile_standin, call):
    _, lane, _ = make()
    _run(lane, _ops(WRITE))
    cufile_standin.refuse[call] = "IO_ERROR"
    assert (_run(lane, _ops(READ))["outcome"] == ERROR).all()
    cufile_standin.refuse.clear()
    if call == "batch_io_submit":
        assert (_run(lane, _ops(READ))["outcome"] == OK).all()


@pytest.mark.parametrize("way", ["p2p", "nvfs", "posix"])
def test_the_way_is_what_cufile_counted(make, cufile_standin, way):
    cufile_standin.way = way
    store, lane, _ = make()
    assert store.path().kind == "unknown", "nothing has moved"
    _run(lane, _ops(WRITE))
    assert store.path().kind == ("compat" if way == "posix" else way)
    store.reset()
    assert store.path().kind == "unknown"
    _run(lane, _ops(READ))
    cufile_standin.way = "posix" if way != "posix" else "p2p"
    _run(lane, _ops(READ))
    assert store.path().kind == "mixed"
    assert "16 compat" in store.path().evidence


def test_without_counts_nobody_knows(make, cufile_standin):
    cufile_standin.refuse["set_stats_level"] = "not in this version"
    store, lane, _ = make()
    _run(lane, _ops(WRITE))
    assert store.path().kind == "unknown"
    assert "not in this version" in store.path().evidence


def test_compat_where_it_is_forbidden_is_an_error(make, cufile_standin):
    store, lane, _ = make(compat="forbid")
    assert cufile_standin.parameters["compat"] is False
    _run(lane, _ops(WRITE))
    with pytest.raises(DriverError, match="forbids compat mode") as refused:
        store.check()
    assert "compat = allow" in refused.value.remedy


def test_no_direct_way_is_unavailable(make, cufile_standin):
    cufile_standin.refuse["handle_register"] = "DRIVER_NOT_INITIALIZED (5001)"
    with pytest.raises(Unavailable, match=r"does not take the file .*5001") as none:
        make(compat="forbid")
    assert "compat = allow" in none.value.remedy


def test_one_set_of_options_in_a_process(make):
    make()
    with pytest.raises(DriverError, match="other settings"):
        make(compat="forbid")


def test_the_clamp_is_a_column(make):
    store, _, _ = make(work={"block_bytes": MIB, "batch": 300, "depth": 300, "threads": 2}, max_in_flight=512)
    assert store.limits.max_in_flight == 32
    assert store.measures()["in_flight_limit"] == 32
    assert store.measures()["in_flight_limit_reason"] == "posix_pool_slab_count"


def test_unclamped_runs_as_asked_in_as_many_batches_as_it_takes(make, cufile_standin):
    cufile_standin.parameters[9] = 6
    store, lane, _ = make(work={"batch": 300}, max_in_flight=16, unclamped=True)
    assert store.limits.max_in_flight == 16
    assert store.measures()["in_flight_limit"] == 6
    assert sorted(entries for entries, _ in cufile_standin.batches.values()) == [4, 6, 6]
    for kind in (WRITE, READ, READ):
        assert (_run(lane, _ops(kind))["outcome"] == OK).all()


def test_streams_of_a_lane(make, cufile_standin):
    """Cufile is told what is so: that offsets are known, and that they are of whole pages."""
    store, lane, _ = make(mode="stream", work={"batch": 40}, streams=5)
    assert list(cufile_standin.streams.values()) == [15] * 5
    assert store.limits.alignment_bytes == 4096
    for _ in range(70):
        assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()
    measured = store.measures()
    assert (measured["in_flight_limit"], measured["in_flight_limit_reason"]) == (64, "posix_pool_slab_count")
    assert min(measured[name] for name in ("prep_mean_ns", "post_mean_ns", "transfer_mean_ns", "stream_p99_ns")) > 0
    store.reset()
    assert store.measures()["stream_mean_ns"] is None
    lane.close()
    make(mode="stream", work={"block_bytes": 1000})
    assert set(cufile_standin.streams.values()) == {7}


@pytest.mark.parametrize("call", ["read_async", "write_async"])
def test_an_operation_that_cufile_refuses_on_a_stream(make, cufile_standin, call):
    _, lane, _ = make(mode="stream")
    _run(lane, _ops(WRITE))
    cufile_standin.refuse[call] = "IO_ERROR"
    assert (_run(lane, _ops(READ if call == "read_async" else WRITE))["outcome"] == ERROR).all()
    cufile_standin.refuse.clear()
    assert (_run(lane, _ops(READ))["outcome"] == OK).all()


def test_a_gpu_without_stream_calls_is_unavailable(make, standin, cufile_standin):
    cufile_standin.refuse["stream_register"] = "ASYNC_NOT_SUPPORTED (5038)"
    with pytest.raises(Unavailable, match=r"no stream calls here: ASYNC_NOT_SUPPORTED") as none:
        make(mode="stream")
    assert "NVreg_EnableStreamMemOPs" in none.value.remedy
    assert not standin.events


@pytest.mark.parametrize("call", ["cuEventRecord", "cuEventQuery", "cuEventElapsedTime"])
def test_a_gpu_lost_in_the_middle_of_streams(make, standin, call):
    _, lane, _ = make(mode="stream")
    _run(lane, _ops(WRITE))
    standin.fail(call, 2, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)
    with pytest.raises(Lost, match=r"GPU 0 \(Stand-in\): .* failed: CUDA_ERROR_ECC_UNCORRECTABLE"):
        _run(lane, _ops(READ))
    for other in ("cuMemFree", "cuMemHostUnregister", "cuEventDestroy", "cuStreamDestroy", "cuEventQuery"):
        standin.fail(other, 0, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)


def test_buffers_that_cufile_does_not_take(make, cufile_standin):
    cufile_standin.refuse["buf_register"] = "GPU_MEMORY_PINNING_FAILED"
    store, lane, _ = make()
    assert "PINNING_FAILED" in store.measures()["buffers_registered"]
    assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()


@pytest.mark.parametrize(
    ("version", "block", "lanes", "registered", "bounced", "limit", "setting"),
    [
        (1140, 4096, 1, True, False, 128, "io_batchsize"),
        (1140, MIB, 1, True, True, 64, "posix_pool_slab_count"),
        (1140, 5 * MIB // 2, 2, True, True, 16, "posix_pool_slab_count"),
        (1140, 64 * MIB, 64, True, True, 1, "posix_pool_slab_count"),
        (1140, MIB, 2, False, False, 64, "max_device_cache_size_kb"),
        (1180, MIB, 4, False, True, 128, "io_batchsize"),
    ],
)
def test_what_the_default_configuration_has_room_for(version, block, lanes, registered, bounced, limit, setting):
    found = clamp(Configuration(version), block, lanes, mode="batch", registered=registered, bounced=bounced)
    assert (found.limit, found.setting) == (limit, setting)


def test_operations_on_streams_go_through_a_queue():
    found = clamp(Configuration(1180), MIB, 2, mode="stream", registered=True, bounced=True)
    assert (found.limit, found.setting) == (64, "max_io_queue_depth")
    deeper = Configuration(1180, queue=256)
    assert clamp(deeper, MIB, 1, mode="stream", registered=True, bounced=True).limit == 256


def test_what_another_configuration_has_room_for():
    raised = Configuration(1170, batch=512, pool=((MIB, 512), (4096, 1024), (16 * MIB, 512)))
    assert clamp(raised, MIB, 1, mode="batch", registered=True, bounced=True).limit == 512


@pytest.mark.parametrize(
    ("number", "version", "fits"),
    [
        (1170, "13.2.0", True),
        (1171, "13.2.1", True),
        (1160, "13.1.0", True),
        (1190, "13.3.0", False),
        (1150, "13.0.3", False),
        (1140, "12.9.4", False),
    ],
)
def test_bindings_and_library_of_one_minor_version(number, version, fits):
    assert (cufile.mismatched(number, version) == "") == fits


def test_what_the_child_finds(cufile_standin):
    verdict = trial.answer(0)
    assert not verdict.reason
    assert verdict.facts["cuFile"] == "1.17, cuda-bindings 13.2.0"
    assert verdict.facts["bounce buffers in host memory"] == "128 of 4 KiB, 64 of 1024 KiB, 32 of 16384 KiB"
    cufile_standin.refuse["driver_open"] = "NVFS_SETUP_ERROR"
    assert "NVFS_SETUP_ERROR" in trial.answer(0).reason
