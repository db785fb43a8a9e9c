"""The driver `posix` under the contract: both engines, direct and buffered."""

import pytest

from kvscen.plugin import Tier
from kvscen.testing.contract import DriverContract
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings


class Posix(DriverContract):
    engine = "threads"
    direct = False

    @pytest.fixture
    def driver(self):
        return PosixDriver()

    max_in_flight = 128

    @pytest.fixture
    def settings(self, driver, tmp_path):
        settings = PosixSettings(
            path=str(tmp_path / "data"),
            engine=self.engine,
            direct=self.direct,
            max_in_flight=self.max_in_flight,
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
