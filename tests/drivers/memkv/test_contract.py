"""memkv keeps the contract, whatever its values are kept in and however they travel."""

from collections.abc import Iterator

import attrs
import pytest

from kvscen.plugin import Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.memkv.driver import MemkvDriver
from kvscen_drivers.memkv.fleet import join, part_from
from kvscen_drivers.memkv.settings import MemkvSettings


class TestMemkv(DriverContract):
    """The servers of a class start once: whoever opens a store takes part in them, and its values go with it."""

    given = MemkvSettings()

    @pytest.fixture
    def driver(self):
        return MemkvDriver()

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, tmp_path_factory) -> Iterator[MemkvSettings]:
        given = cls.given
        if given.values == "files":
            given = attrs.evolve(given, path=str(tmp_path_factory.mktemp("memkv") / "values"))
        tier = Tier("under_test", "memkv", given.complete())
        join(tier, 10.0)
        yield tier.settings
        part_from(tier)

    @pytest.fixture
    def settings(self, shared):
        return shared


class TestTwoServersAndConnections(TestMemkv):
    given = MemkvSettings(servers=2, connections=2)


class TestBatchesInFrames(TestMemkv):
    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=2, keys=self.keys, depth=4, threads=2, wait="batch")


class TestCoalescing(TestBatchesInFrames):
    """Several blocks are ranges of one value, so that neighbours are merged."""

    given = MemkvSettings(coalesce=True, entry=8, servers=2)


class TestFiles(TestMemkv):
    given = MemkvSettings(values="files")


class TestRangesInFiles(TestMemkv):
    given = MemkvSettings(values="files", entry=4)


class TestShared(TestMemkv):
    """The lanes copy the bytes themselves, from and into the servers' memory."""

    given = MemkvSettings(transport="shm", servers=2, connections=2)


class TestSharedBatches(TestCoalescing):
    given = MemkvSettings(transport="shm", coalesce=True, entry=8, servers=2)


class TestSharedFiles(TestMemkv):
    given = MemkvSettings(transport="shm", values="files", entry=4)
