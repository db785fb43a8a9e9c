"""The transport `rdma` on this machine's RDMA device. Where there is none `make test-rdma` runs it in a virtual machine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kvscen.plugin import OK, READ, WRITE, Layout, Tier, Work
from kvscen_drivers.memkv.driver import MemkvDriver
from kvscen_drivers.memkv.engine import devices, why_not
from kvscen_drivers.memkv.settings import MemkvSettings
from tests.drivers.memkv.test_contract import TestMemkv as Contract
from tests.drivers.redis.support import ops, run

_GID = os.environ.get("KVSCEN_TEST_GID_INDEX")
pytestmark = pytest.mark.skipif(bool(why_not(())[0]), reason=f"{why_not(())[0]}; `make test-rdma`")


def tier(**more: object) -> MemkvSettings:
    gid = None if _GID is None else int(_GID)
    return MemkvSettings(transport="rdma", gid_index=gid, capacity_bytes=8 << 20, **more).complete()  # type: ignore[arg-type]


class TestRdma(Contract):
    @pytest.fixture
    def settings(self):
        return tier()


class TestRdmaBatches(Contract):
    """Neighbouring blocks are ranges of one value, and merged."""

    @pytest.fixture
    def settings(self):
        return tier(coalesce=True, entry=8, connections=2)

    @pytest.fixture
    def work(self):
        return Work(op="mixed", block_bytes=self.block_bytes, batch=2, keys=self.keys, depth=4, threads=2, wait="batch")
