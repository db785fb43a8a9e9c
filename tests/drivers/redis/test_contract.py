"""The driver `redis` under the contract, with real servers: private ones, and one that asks for a password."""

from typing import ClassVar

import pytest

from kvscen.testing.contract import DriverContract
from kvscen_drivers.redis.driver import RedisDriver
from kvscen_drivers.redis.settings import RedisSettings
from tests.drivers.redis.support import named_server, needs_server

pytestmark = needs_server


class Redis(DriverContract):
    @pytest.fixture
    def driver(self):
        return RedisDriver()


class TestPrivate(Redis):
    @pytest.fixture
    def settings(self):
        return RedisSettings().complete()


@pytest.fixture(scope="module", params=["tcp", "unix"])
def endpoint(request, tmp_path_factory):
    with named_server(tmp_path_factory.mktemp("server"), socket=request.param) as (_, where):
        yield where


class TestNamed(Redis):
    more: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def settings(self, endpoint, request):
        return RedisSettings(**endpoint, prefix=f"{request.node.name}:", **self.more).complete()


class TestFewInFlight(TestNamed):
    more: ClassVar = {"max_in_flight": 3}
