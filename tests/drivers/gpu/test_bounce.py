"""`memory = vram` through pinned host memory, on a stand-in for CUDA's bindings, over real lanes."""

from fractions import Fraction

import numpy as np
import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import (
    COMPLETION,
    ERROR,
    OK,
    OPERATION,
    READ,
    WRITE,
    DriverError,
    Layout,
    Load,
    Lost,
    Store,
    Tier,
    Unavailable,
    Work,
)
from kvscen.testing.contract import DriverContract
from kvscen_drivers.gpu import bounce, cuda
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.posix.settings import PosixSettings
from kvscen_drivers.sim import SimSettings
from kvscen_drivers.tiered import TieredDriver, TieredSettings
from tests.drivers.gpu.standin import CUresult
from tests.drivers.tiered.test_tiered_contract import _TieredContract


class _Bounced(DriverContract):
    memory = "vram"

    @pytest.fixture
    def work(self):
        return Work("mixed", self.block_bytes, 8, self.keys, depth=8, threads=2, memory="vram")

    @pytest.fixture(autouse=True)
    def _no_gpu(self, standin):
        pass


class TestMemory(_Bounced):
    @pytest.fixture
    def driver(self):
        return MemoryDriver()

    @pytest.fixture
    def settings(self):
        return MemorySettings()


class TestThreads(_Bounced):
    engine = "threads"

    @pytest.fixture
    def driver(self):
        return PosixDriver()

    @pytest.fixture
    def settings(self, tmp_path):
        return PosixSettings(path=str(tmp_path / "blocks"), engine=self.engine, allow_buffered=True)


class TestUring(TestThreads):
    engine = "auto"


class TestFewerBuffersThanOperations(TestThreads):
    """What finds no buffer waits for one."""

    @pytest.fixture(autouse=True)
    def _two(self, monkeypatch):
        monkeypatch.setattr(bounce, "MOST_BYTES", 3 * self.block_bytes)


class TestTiered(_TieredContract):
    """A cache over memory and files, whose caller has its buffers on a GPU: bounced above the levels."""

    memory = "vram"

    @pytest.fixture
    def work(self):
        return Work("mixed", self.block_bytes, 8, self.keys, depth=8, memory="vram")

    @pytest.fixture
    def tier(self, settings, tmp_path):
        disk = PosixSettings(path=str(tmp_path / "data"), allow_buffered=True)
        levels = (Tier("upper", "memory", MemorySettings()), Tier("lower", "posix", disk))
        return Tier("cache", "tiered", settings, levels)

    @pytest.fixture
    def levels(self, tier, work, standin):
        drivers = (MemoryDriver(), PosixDriver())
        stores = [
            driver.open(level, TieredDriver().level_work(tier, work, number), ())
            for number, (driver, level) in enumerate(zip(drivers, tier.levels, strict=True))
        ]
        yield stores
        for store in stores:
            store.close()


BLOCK, KEYS = 8192, 16


@pytest.fixture
def make(tmp_path, standin):
    """`make(work={...}, **settings)` gives an open `posix` store with its keys laid out, a lane and its arena."""
    opened = []

    def _make(work=None, **settings):
        work = Work(**{"op": "mixed", "block_bytes": BLOCK, "batch": 4, "keys": KEYS, "memory": "vram"} | (work or {}))
        settings = PosixSettings(**{"path": str(tmp_path / "blocks"), "allow_buffered": True} | settings)
        store = PosixDriver().open(Tier("disk", "posix", settings), work, ())
        opened.append(store)
        store.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))
        arena = store.allocate(KEYS * BLOCK, "vram")
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


def test_what_is_written_from_the_gpu_is_read_back_into_it(make, standin):
    store, lane, arena = make()
    wanted = np.random.default_rng(1).integers(0, 256, KEYS * BLOCK, np.uint8)
    arena.put(0, KEYS * BLOCK, wanted)
    assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()
    arena.put(0, KEYS * BLOCK, 0xA5)
    done = _run(lane, _ops(READ, range(KEYS - 1, -1, -1)))
    assert (done["outcome"] == OK).all()
    assert (done["bytes"] == BLOCK).all()
    assert (done["end"] > done["submit"]).all()
    got = arena.get(0, KEYS * BLOCK).reshape(KEYS, BLOCK)
    assert np.array_equal(got[::-1], wanted.reshape(KEYS, BLOCK))
    assert "bounced through pinned host memory to and from GPU 0 (Stand-in" in store.path().evidence


def test_both_halves_are_timed_apart(make):
    store, lane, _ = make(work={"batch": 40, "depth": 8})
    for _ in range(70):
        _run(lane, _ops(WRITE))
    measured = store.measures()
    assert measured["copy_p99_ns"] > 0
    assert measured["host_p99_ns"] > 0
    assert measured["bounce_buffers"] == 8
    assert "Stand-in, 64 MiB" in measured["gpu"]
    assert measured["engine"]
    store.reset()
    assert store.measures()["copy_mean_ns"] is None
    assert store.measures()["host_mean_ns"] is None


def test_pinned_memory_is_bounded(make, standin, monkeypatch):
    monkeypatch.setattr(bounce, "MOST_BYTES", 3 * BLOCK + 17)
    store, lane, _ = make(work={"batch": 16})
    assert store.measures()["bounce_buffers"] == 3
    assert sum(standin.pinned.values()) == 3 * BLOCK
    assert (_run(lane, _ops(WRITE))["outcome"] == OK).all()
    assert (
        PosixDriver()
        .footprint(Tier("disk", "posix", PosixSettings(path="x")), Work("read", BLOCK, 16, 16, memory="vram"))
        .memory_bytes
        == 3 * BLOCK
    )


def test_what_fails_below_is_not_copied(make, standin):
    _, lane, arena = make()
    _run(lane, _ops(WRITE))
    arena.put(0, KEYS * BLOCK, 0x5A)
    bad = _ops(READ, [3])
    bad["key"] = KEYS + 5
    before = standin.calls["cuMemcpyAsync"]
    done = _run(lane, bad)
    assert done["outcome"] == [ERROR]
    assert done["errno"] != 0
    assert standin.calls["cuMemcpyAsync"] == before
    assert (arena.get(0, KEYS * BLOCK) == 0x5A).all()
    outside = _ops(READ, [3])
    outside["buffer"] = arena.nbytes
    assert _run(lane, outside)["errno"] == [22]


def test_a_file_that_is_too_small_is_an_error_and_a_sentence(make, tmp_path):
    store, lane, _ = make(layout="file")
    _run(lane, _ops(WRITE))
    (data,) = (path for path in (tmp_path / "blocks").iterdir() if path.stat().st_size >= KEYS * BLOCK)
    with data.open("r+b") as file:
        file.truncate(BLOCK)
    done = _run(lane, _ops(READ))
    assert (done["outcome"] == ERROR).sum() == KEYS - 1
    with pytest.raises(DriverError, match="blocks"):
        store.check()


@pytest.mark.parametrize("call", ["cuMemcpyAsync", "cuEventRecord", "cuEventQuery", "cuEventElapsedTime"])
def test_a_gpu_lost_in_the_middle_is_one_sentence(make, standin, call):
    _, lane, _ = make()
    _run(lane, _ops(WRITE))
    standin.fail(call, 2, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)
    with pytest.raises(Lost, match=r"GPU 0 \(Stand-in\): .* failed: CUDA_ERROR_ECC_UNCORRECTABLE"):
        _run(lane, _ops(READ))
    for other in ("cuMemFree", "cuMemHostUnregister", "cuEventDestroy", "cuStreamDestroy", "cuEventQuery"):
        standin.fail(other, 0, CUresult.CUDA_ERROR_ECC_UNCORRECTABLE)


def test_buffers_that_cannot_be_pinned(make, standin, tmp_path):
    standin.fail("cuMemHostRegister", 0, CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    with pytest.raises(DriverError, match="cannot be pinned"):
        make()


def test_buffers_that_do_not_fit_on_the_gpu(make):
    store, _, _ = make()
    with pytest.raises(DriverError, match="of buffers do not fit"):
        store.allocate(65 << 20, "vram")


def test_without_a_gpu_the_point_is_unavailable_with_the_reason(tmp_path):
    if cuda.why_not() is None:
        pytest.skip("there may be a GPU here")
    work = Work("read", BLOCK, 4, KEYS, memory="vram")
    settings = PosixSettings(path=str(tmp_path / "blocks"))
    with pytest.raises(Unavailable, match=r"libcuda.so.1|cuda-bindings"):
        PosixDriver().open(Tier("disk", "posix", settings), work, ())
    assert not (tmp_path / "blocks").exists()


def test_fio_is_no_ceiling_for_it(make):
    store, _, _ = make()
    with pytest.raises(DriverError, match="not on a GPU"):
        store.ceiling(Load(Work("read", BLOCK, 4, KEYS), (), 4, BLOCK, "huge", 10**9))
    work = Work("read", BLOCK, 4, KEYS, memory="vram", ceiling="fio")
    found = PosixDriver().lint(Tier("disk", "posix", PosixSettings(path="x")), work)
    assert [finding.code for finding in found] == ["KVS305"]


@pytest.mark.parametrize("driver", ["memory", "posix"])
def test_every_byte_of_a_pass_of_the_core(standin, tmp_path, driver):
    """As a run verifies it."""
    work = Work("mixed", 5 * 4096, 8, 32, threads=2, memory="vram", order="random")
    target = {
        "memory": "kvscen_drivers.memory:MemoryDriver",
        "posix": "kvscen_drivers.posix.driver:PosixDriver",
    }
    settings = {"memory": MemorySettings(), "posix": PosixSettings(path=str(tmp_path / "b"), allow_buffered=True)}
    session = Session()
    opened = session.handle(messages.Open("p", Tier("t", driver, settings[driver]), work, 0, target, 1))
    assert isinstance(opened, messages.Opened), opened
    assert isinstance(session.handle(messages.Prepare("p")), messages.Prepared)
    verified = session.handle(messages.Verify("p", 3))
    session.close()
    assert isinstance(verified, messages.Verified), verified
    assert not verified.mismatch
    assert verified.verified_bytes >= 32 * 5 * 4096


def test_all_that_was_taken_is_given_back(make, standin):
    store, lane, arena = make()
    _run(lane, _ops(WRITE))
    for thing in (lane, arena, store):
        thing.close()
    assert not standin.allocated
    assert not standin.pinned
    assert not standin.events


def test_a_cache_stays_one(standin, tmp_path):
    """The core asks it what is to be read and written, and no other tier."""
    work = Work("mixed", BLOCK, 4, KEYS, memory="vram")
    dram = Tier("dram", "memory", MemorySettings())
    tier = Tier("cache", "tiered", TieredSettings(levels=("dram",)), (dram,))
    level = MemoryDriver().open(dram, TieredDriver().level_work(tier, work, 0), ())
    cache = TieredDriver().open(tier, work, (level,))
    cache.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))
    plain = MemoryDriver().open(dram, work, ())
    assert type(cache).decide is not Store.decide
    assert type(plain).decide is Store.decide
    assert cache.decide([1, 2]).writes == [1, 2]
    assert list(cache.occupancy()) == [2]
    for store in (plain, cache, level):
        store.close()


def test_a_simulated_cache_needs_no_gpu():
    fast = SimSettings(bandwidth_bytes_per_s=Fraction(10**10), latency_ns=1_000, parallelism=8)
    level = Tier("fast", "sim", fast, virtual=True)
    tier = Tier("cache", "tiered", TieredSettings(levels=("fast",)), (level,), virtual=True)
    target = {"sim": "kvscen_drivers.sim:SimDriver", "tiered": "kvscen_drivers.tiered:TieredDriver"}
    session = Session()
    work = Work("read", BLOCK, 4, KEYS, memory="vram", operations=64)
    opened = session.handle(messages.Open("p", tier, work, 0, target, 1))
    session.close()
    assert isinstance(opened, messages.Opened), opened
    assert opened.virtual
