"""The driver `mooncake` under the contract, with a real master and a process that holds the blocks."""

import pytest

from kvscen.plugin import Tier
from kvscen.testing.contract import DriverContract
from kvscen_drivers.mooncake.cluster import join, leave
from kvscen_drivers.mooncake.driver import MooncakeDriver
from kvscen_drivers.mooncake.settings import MooncakeSettings
from tests.drivers.mooncake.support import needs_mooncake

pytestmark = needs_mooncake


@pytest.fixture(
    scope="module", params=[{}, {"max_in_flight": 3, "capacity_bytes": 64 << 20}], ids=["defaults", "few in flight"]
)
def shared(request):
    """The tests share a store, as the points of a tier do: ending one takes a second."""
    settings = MooncakeSettings(**request.param).complete()
    tier = Tier("under_test", "mooncake", settings)
    cluster = join(tier)
    yield settings
    leave(tier, cluster)


class TestMooncake(DriverContract):
    @pytest.fixture
    def driver(self):
        return MooncakeDriver()

    @pytest.fixture
    def settings(self, shared):
        return shared
