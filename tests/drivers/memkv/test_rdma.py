"""The transport `rdma` on this machine's RDMA devices. Where there are none `make test-rdma` runs it in a machine that
has."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from kvscen.plugin import Work
from kvscen_drivers.memkv.engine import counted, devices, why_not
from kvscen_drivers.memkv.settings import MemkvSettings
from tests.drivers.memkv import test_contract as contract
from tests.drivers.memkv.support import served
from tests.drivers.memkv.test_lent import moves_all_and_counts_it

_WHY_NOT = why_not(())[0]
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=f"{_WHY_NOT} (`make test-rdma` has one)")
#: RoCE needs one that is of an address of the network.
GID = os.environ.get("KVSCEN_TEST_GID_INDEX")
RAILS = [device.name for device in devices() if device.active][:2]


def tier(**more: object) -> MemkvSettings:
    gid = None if GID is None else int(GID)
    return MemkvSettings(transport="rdma", gid_index=gid, **more).complete()  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[1, 2], ids=["one rail", "two rails"])
def rails(request: pytest.FixtureRequest) -> Iterator[dict[str, object]]:
    """What to write into a tier for a server of one device, or of two."""
    if len(RAILS) < request.param:
        pytest.skip("this machine has one RDMA device")
    names = RAILS[: request.param]
    options = ["--capacity", "16 MiB", "--rdma", ",".join(names), *(() if GID is None else ("--gid-index", GID))]
    with served(*options) as (_, place):
        yield {"endpoints": (place,), "devices": tuple(names)}


class TestRdma(contract.TestMemkv):
    @pytest.fixture
    def settings(self, rails):
        return tier(**rails)


class TestRdmaBatches(contract.TestMemkv):
    """Neighbouring blocks are ranges of one value, and merged."""

    @pytest.fixture
    def settings(self, rails):
        return tier(**rails, coalesce=True, entry=8, connections=2)

    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=2, keys=self.keys, depth=4, threads=2, wait="batch")


def test_the_devices_count_what_lanes_move(rails: dict[str, object]) -> None:
    before = {name: counted([name]) for name in RAILS}
    path = moves_all_and_counts_it(tier(**rails))
    assert path.kind == "rdma", path.evidence
    names = rails["devices"]
    assert isinstance(names, tuple)
    for name in names:
        assert name in path.evidence
        seen = counted([name]) - before[name]
        print(f"{name}: {seen}")
    assert (counted(names) - counted([])).at_least(1)


def test_servers_of_its_own() -> None:
    assert moves_all_and_counts_it(tier(capacity_bytes=8 << 20, devices=(RAILS[0],))).kind == "rdma"
