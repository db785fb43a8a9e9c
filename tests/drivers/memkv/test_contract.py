"""memkv keeps the contract, whatever its values are kept in and however they travel."""

import pytest

from kvscen.plugin import Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.memkv.driver import MemkvDriver
from kvscen_drivers.memkv.settings import MemkvSettings


class TestMemkv(DriverContract):
    @pytest.fixture
    def driver(self):
        return MemkvDriver()

    @pytest.fixture
    def settings(self):
        return MemkvSettings().complete()


class TestTwoServersAndConnections(TestMemkv):
    @pytest.fixture
    def settings(self):
        return MemkvSettings(servers=2, connections=2).complete()


class TestBatchesInFrames(TestMemkv):
    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=2, keys=self.keys, depth=4, threads=2, wait="batch")


class TestCoalescing(TestBatchesInFrames):
    """Several blocks are ranges of one value, so that neighbours are merged."""

    @pytest.fixture
    def settings(self):
        return MemkvSettings(coalesce=True, entry=8, servers=2).complete()


class TestFiles(TestMemkv):
    @pytest.fixture
    def settings(self, tmp_path):
        return MemkvSettings(values="files", path=str(tmp_path / "values")).complete()


class TestRangesInFiles(TestMemkv):
    @pytest.fixture
    def settings(self, tmp_path):
        return MemkvSettings(values="files", path=str(tmp_path / "values"), entry=4).complete()


class TestShared(TestMemkv):
    """The lanes copy the bytes themselves, from and into the servers' memory."""

    @pytest.fixture
    def settings(self):
        return MemkvSettings(transport="shm", servers=2, connections=2).complete()


class TestSharedBatches(TestCoalescing):
    @pytest.fixture
    def settings(self):
        return MemkvSettings(transport="shm", coalesce=True, entry=8, servers=2).complete()


class TestSharedFiles(TestRangesInFiles):
    @pytest.fixture
    def settings(self, tmp_path):
        return MemkvSettings(transport="shm", values="files", path=str(tmp_path / "values"), entry=4).complete()
