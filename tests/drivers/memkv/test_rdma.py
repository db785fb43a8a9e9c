"""The transport `rdma` on this machine's RDMA devices. Where there are none `make test-rdma` runs it in a machine that
has."""

from __future__ import annotations

import os

import pytest

from kvscen_drivers.memkv.engine import devices, why_not
from kvscen_drivers.memkv.settings import MemkvSettings
from tests.drivers.memkv import test_contract as contract
from tests.drivers.memkv.support import served
from tests.drivers.memkv.test_lent import moves_all_and_counts_it

_WHY_NOT = why_not(())[0]
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=f"{_WHY_NOT} (`make test-rdma` has one)")
#: RoCE needs one that is of an address of the network.
GID = os.environ.get("KVSCEN_TEST_GID_INDEX")
RAILS = tuple(device.name for device in devices() if device.active)


def tier(**more: object) -> MemkvSettings:
    gid = None if GID is None else int(GID)
    return MemkvSettings(transport="rdma", gid_index=gid, **more).complete()  # type: ignore[arg-type]


class TestRdma(contract.TestMemkv):
    given = tier(devices=RAILS[:1] or None, capacity_bytes=16 << 20)


class TestRdmaBatches(contract.TestBatchesInFrames):
    """Neighbouring blocks are ranges of one value, and merged."""

    given = tier(devices=RAILS[:1] or None, coalesce=True, entry=8, connections=2, capacity_bytes=16 << 20)


@pytest.mark.parametrize("rails", [1, 2])
def test_the_devices_count_what_lanes_move(rails: int) -> None:
    """Between two programs: `kvscen serve memkv` and this one."""
    if len(RAILS) < rails:
        pytest.skip("this machine has one RDMA device")
    names = RAILS[:rails]
    options = ["--capacity", "16 MiB", "--rdma", ",".join(names), *(() if GID is None else ("--gid-index", GID))]
    with served(*options) as (_, place):
        path = moves_all_and_counts_it(tier(endpoints=(place,), devices=names))
    assert path.kind == "rdma", path.evidence
    assert all(name in path.evidence for name in names)
