"""The driver `gpu` on a stand-in as the upper level of a cache, whose buffers another level made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from kvscen.plugin import Store, Tier, Work
from kvscen_drivers.gpu.driver import GpuDriver
from kvscen_drivers.gpu.settings import GpuSettings
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.tiered import TieredSettings
from tests.drivers.tiered.test_tiered_contract import _TieredContract


@pytest.mark.usefixtures("standin")
class TestOverMemory(_TieredContract):
    @pytest.fixture
    def tier(self, settings: TieredSettings) -> Tier:
        levels = (Tier("upper", "gpu", GpuSettings()), Tier("lower", "memory", MemorySettings()))
        return Tier("cache", "tiered", settings, levels)

    @pytest.fixture
    def levels(self, tier: Tier, work: Work, standin) -> Iterator[Sequence[Store]]:
        drivers = (GpuDriver(), MemoryDriver())
        stores = [driver.open(level, work, ()) for driver, level in zip(drivers, tier.levels, strict=True)]
        yield stores
        for store in stores:
            store.close()
        assert not standin.allocated


@pytest.mark.usefixtures("standin")
class TestOverPosix(_TieredContract):
    @pytest.fixture
    def tier(self, settings: TieredSettings, tmp_path) -> Tier:
        disk = PosixDriver.settings(path=str(tmp_path / "data"), allow_buffered=True)
        levels = (Tier("upper", "gpu", GpuSettings()), Tier("lower", "posix", disk))
        return Tier("cache", "tiered", settings, levels)

    @pytest.fixture
    def levels(self, tier: Tier, work: Work, standin) -> Iterator[Sequence[Store]]:
        drivers = (GpuDriver(), PosixDriver())
        stores = [driver.open(level, work, ()) for driver, level in zip(drivers, tier.levels, strict=True)]
        yield stores
        for store in stores:
            store.close()
        assert not standin.allocated
