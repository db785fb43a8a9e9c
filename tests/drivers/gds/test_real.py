"""The driver `gds` with cuFile on a GPU: skipped where there is none. `make check-gpu` runs it, each class in a process
of its own, for what hangs takes its process with it."""

import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.gds import trial
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gds.settings import GdsSettings

HERE = trial.examine(0)
pytestmark = pytest.mark.skipif(bool(HERE.reason), reason=f"no cuFile: {HERE.reason}")

MIB = 1 << 20


class _Real(DriverContract):
    mode = "sync"

    @pytest.fixture
    def driver(self):
        return GdsDriver()

    @pytest.fixture
    def settings(self, tmp_path):
        return GdsSettings(path=str(tmp_path / "blocks"), mode=self.mode, allow_buffered=True).complete()

    @pytest.mark.parametrize("block", [5 * MIB // 2, 561_152])
    def test_every_byte_of_a_pass_of_the_core(self, tmp_path, block):
        work = Work(op="mixed", block_bytes=block, batch=8, keys=64, memory=self.memory, order="random")
        settings = GdsSettings(path=str(tmp_path / "blocks"), mode=self.mode, allow_buffered=True).complete()
        session = Session()
        target = {"gds": "kvscen_drivers.gds.driver:GdsDriver"}
        opened = session.handle(messages.Open("p", Tier("direct", "gds", settings), work, 0, target, 1))
        assert isinstance(opened, messages.Opened), opened
        assert isinstance(session.handle(messages.Prepare("p")), messages.Prepared)
        verified = session.handle(messages.Verify("p", 3))
        path = session.handle(messages.Open("p", Tier("direct", "gds", settings), work, 0, target, 1))
        session.close()
        assert isinstance(verified, messages.Verified), verified
        assert not verified.mismatch
        assert verified.verified_bytes >= 64 * block
        print(f"path: {path.path}: {path.path_evidence}")


class TestSyncDram(_Real):
    pass


class TestSyncVram(_Real):
    memory = "vram"


class TestBatchDram(_Real):
    mode = "batch"


class TestBatchVram(_Real):
    mode, memory = "batch", "vram"


class TestStreamDram(_Real):
    mode = "stream"


class TestStreamVram(_Real):
    mode, memory = "stream", "vram"
