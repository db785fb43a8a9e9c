"""The driver `gpu` on a GPU: skipped where there is none. `make check-gpu` runs it."""

import numpy as np
import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import DriverError, Layout, Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.gpu import trial
from kvscen_drivers.gpu.driver import GpuDriver
from kvscen_drivers.gpu.settings import GpuSettings
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.posix.settings import PosixSettings

HERE = trial.examine(0)
pytestmark = pytest.mark.skipif(bool(HERE.reason), reason=f"no GPU: {HERE.reason}")

MIB = 1 << 20


class TestContract(DriverContract):
    @pytest.fixture
    def driver(self):
        return GpuDriver()

    @pytest.fixture
    def settings(self):
        return GpuSettings()


class TestContractWithinTheGpu(TestContract):
    memory = "vram"


class TestContractOfBatches(TestContract):
    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, wait="batch", threads=2)


class TestPosixIntoTheGpu(DriverContract):
    """Bounced through pinned host memory."""

    memory = "vram"

    @pytest.fixture
    def work(self):
        return Work("mixed", self.block_bytes, 8, self.keys, depth=8, threads=2, memory="vram")

    @pytest.fixture
    def driver(self):
        return PosixDriver()

    @pytest.fixture
    def settings(self, tmp_path):
        return PosixSettings(path=str(tmp_path / "blocks"), allow_buffered=True)


@pytest.mark.parametrize("block", [4096, 5 * MIB // 2, 64 * MIB])
def test_every_byte_from_a_file_into_the_gpu(tmp_path, block):
    keys = max(8, min(256, 256 * MIB // block))
    work = Work("mixed", block, 8, keys, threads=2, memory="vram", order="random")
    settings = PosixSettings(path=str(tmp_path / "blocks"), allow_buffered=True)
    session = Session()
    target = {"posix": "kvscen_drivers.posix.driver:PosixDriver"}
    opened = session.handle(messages.Open("p", Tier("disk", "posix", settings), work, 0, target, 1))
    assert isinstance(opened, messages.Opened), opened
    assert isinstance(session.handle(messages.Prepare("p")), messages.Prepared)
    verified = session.handle(messages.Verify("p", 3))
    session.close()
    assert isinstance(verified, messages.Verified), verified
    assert not verified.mismatch
    assert verified.verified_bytes >= keys * block


@pytest.mark.parametrize("memory", ["dram", "vram"])
@pytest.mark.parametrize("block", [512, 5 * MIB // 2, 64 * MIB])
def test_every_byte_of_a_pass_of_the_core(memory, block):
    """As a run verifies it: stamped content at the work's own depth, read back into poisoned buffers."""
    keys = max(8, min(256, 512 * MIB // block))
    work = Work(op="mixed", block_bytes=block, batch=8, keys=keys, threads=2, memory=memory, order="random")
    session = Session()
    target = {"gpu": "kvscen_drivers.gpu.driver:GpuDriver"}
    opened = session.handle(messages.Open("p", Tier("hbm", "gpu", GpuSettings()), work, 0, target, 1))
    assert isinstance(opened, messages.Opened), opened
    assert isinstance(session.handle(messages.Prepare("p")), messages.Prepared)
    verified = session.handle(messages.Verify("p", 3))
    session.close()
    assert isinstance(verified, messages.Verified), verified
    assert not verified.mismatch
    assert verified.verified_bytes >= keys * block


def test_more_than_the_gpu_has_is_refused():
    store = GpuDriver().open(Tier("hbm", "gpu", GpuSettings()), Work("read", MIB, 1, 1), ())
    try:
        with pytest.raises(DriverError, match="do not fit"):
            store.prepare(Layout(1 << 20, MIB, MIB, 0, 1 << 20))
        with pytest.raises(DriverError, match="do not fit"):
            store.allocate(1 << 40, "vram")
    finally:
        store.close()


def test_what_was_taken_is_given_back():
    from kvscen_drivers.gpu.cuda import open_gpu

    gpu = open_gpu(0)
    before = gpu.memory()[0]
    for memory in ("dram", "vram"):
        store = GpuDriver().open(Tier("hbm", "gpu", GpuSettings()), Work("read", MIB, 1, 1), ())
        store.prepare(Layout(256, MIB, MIB, 0, 256))
        arena = store.allocate(64 * MIB, memory)
        lane = store.lane(0, arena)
        assert gpu.memory()[0] <= before - 256 * MIB
        for thing in (lane, arena, store):
            thing.close()
    assert abs(gpu.memory()[0] - before) < 64 * MIB


def test_memory_of_the_gpu_by_put_and_get():
    store = GpuDriver().open(Tier("hbm", "gpu", GpuSettings()), Work("read", MIB, 1, 1, memory="vram"), ())
    arena = store.allocate(3 * MIB, "vram")
    wanted = np.random.default_rng(1).integers(0, 256, 3 * MIB, np.uint8)
    arena.put(0, 3 * MIB, wanted)
    arena.put(1000, 24, 0xA5)
    wanted[1000:1024] = 0xA5
    assert np.array_equal(arena.get(0, 3 * MIB), wanted)
    arena.close()
    store.close()
