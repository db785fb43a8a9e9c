"""The driver `posix` under the contract: every engine, direct and buffered, and every layout."""

from typing import ClassVar

import pytest

from kvscen.plugin import Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings


class Posix(DriverContract):
    engine = "threads"
    direct = False

    @pytest.fixture
    def driver(self):
        return PosixDriver()

    max_in_flight = 128
    more: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def settings(self, driver, tmp_path):
        settings = PosixSettings(
            path=str(tmp_path / "data"),
            engine=self.engine,
            direct=self.direct,
            max_in_flight=self.max_in_flight,
            **self.more,
        )
        here = driver.probe(Tier("disk", "posix", settings))
        if not here.ok:
            pytest.skip(here.reason)
        return settings


class TestThreadsBuffered(Posix):
    pass


class TestThreadsDirect(Posix):
    direct = True


class TestUringBuffered(Posix):
    engine = "io_uring"


class TestUringDirect(Posix):
    engine = "io_uring"
    direct = True


class TestUringFewInFlight(TestUringDirect):
    max_in_flight = 3


class TestThreadsOneInFlight(TestThreadsDirect):
    max_in_flight = 1


class TestRegisteredBuffered(TestUringBuffered):
    more: ClassVar = {"registered": True}


class TestRegisteredDirect(TestUringDirect):
    more: ClassVar = {"registered": True}


class TestLibaioBuffered(Posix):
    engine = "libaio"


class TestLibaioDirect(Posix):
    engine = "libaio"
    direct = True


class TestLibaioFewInFlight(TestLibaioDirect):
    max_in_flight = 3


class TestAFileForEachLane(TestUringDirect):
    more: ClassVar = {"layout": "lane"}


class TestAFileForEachLaneRegistered(TestUringDirect):
    more: ClassVar = {"layout": "lane", "registered": True, "buffers": "small"}


class TestAFileForEachBlock(TestUringDirect):
    more: ClassVar = {"layout": "block", "registered": True}


class TestAFileForEachBlockFewOpen(TestUringBuffered):
    more: ClassVar = {"layout": "block", "open_files": 2, "cache": "drop"}


class TestAFileForEachBlockByLibaio(TestLibaioDirect):
    more: ClassVar = {"layout": "block", "open_files": 3}


class TestAFileForEachBlockByThreads(TestThreadsBuffered):
    more: ClassVar = {"layout": "block", "open_files": 1}


class TestDurableWrites(TestUringDirect):
    @pytest.fixture
    def work(self):
        return Work(
            op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, depth=8, threads=2, durability="each"
        )


class TestDurableWritesByLibaio(TestDurableWrites):
    engine = "libaio"


class TestDurableWritesByThreads(TestDurableWrites):
    engine = "threads"
