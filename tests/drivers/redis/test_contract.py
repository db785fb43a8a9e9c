"""The driver `redis` under the contract, with a real server."""

from typing import ClassVar

import pytest

from kvscen.testing.contract import DriverContract
from kvscen_drivers.redis.driver import RedisDriver
from kvscen_drivers.redis.settings import RedisSettings
from tests.drivers.redis.support import needs_server

pytestmark = needs_server


class TestPrivate(DriverContract):
    more: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def driver(self):
        return RedisDriver()

    @pytest.fixture
    def settings(self):
        return RedisSettings(**self.more).complete()


class TestUnixSocket(TestPrivate):
    more: ClassVar = {"socket": "unix"}


class TestFewInFlight(TestPrivate):
    more: ClassVar = {"max_in_flight": 3}


class TestLimitedMemory(TestPrivate):
    more: ClassVar = {"capacity_bytes": 8 << 20}
