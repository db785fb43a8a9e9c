"""The driver `nixl` under the contract: POSIX with each of its interfaces, and UCX to another process."""

from typing import ClassVar

import pytest

from kvscen.plugin import Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.nixl.driver import NixlDriver
from kvscen_drivers.nixl.settings import NixlSettings
from tests.drivers.nixl.support import needs_nixl

pytestmark = needs_nixl


class Nixl(DriverContract):
    more: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def driver(self):
        return NixlDriver()

    @pytest.fixture
    def settings(self, driver, tmp_path):
        settings = NixlSettings(path=str(tmp_path / "data"), **self.more).complete()
        here = driver.probe(Tier("under_test", "nixl", settings))
        if not here.ok:
            pytest.skip(here.reason)
        return settings


class TestAioDirect(Nixl):
    pass


class TestAioBuffered(Nixl):
    more: ClassVar = {"direct": False}


class TestUringDirect(Nixl):
    more: ClassVar = {"api": "uring"}


class TestUringBuffered(Nixl):
    more: ClassVar = {"api": "uring", "direct": False, "buffers": "small"}


class TestPosixAioBuffered(Nixl):
    more: ClassVar = {"api": "posix_aio", "direct": False}


class TestFewInFlight(Nixl):
    more: ClassVar = {"max_in_flight": 3}


class TestRequestsMadeEachTime(Nixl):
    more: ClassVar = {"recreate": True}


class TestWholeBatches(Nixl):
    @pytest.fixture
    def work(self):
        return Work("mixed", self.block_bytes, batch=8, keys=self.keys, wait="batch", threads=2)


class TestDurableWrites(Nixl):
    @pytest.fixture
    def work(self):
        return Work(
            op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, depth=8, threads=2, durability="each"
        )


class TestUcx(Nixl):
    more: ClassVar = {"backend": "UCX"}


class TestUcxOverTcp(Nixl):
    more: ClassVar = {"backend": "UCX", "env": ("UCX_TLS=tcp",)}


class TestUcxWholeBatches(TestWholeBatches):
    more: ClassVar = {"backend": "UCX"}
