"""The contract, over two levels that hold all blocks between them: a contract's test never meets a miss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import attrs
import pytest

from kvscen.plugin import Store, Tier, Work
from kvscen.testing.contract import DriverContract
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.sim import SimDriver, SimSettings
from kvscen_drivers.tiered import TieredDriver, TieredSettings


class _TieredContract(DriverContract):
    @pytest.fixture
    def driver(self) -> TieredDriver:
        return TieredDriver()

    @pytest.fixture
    def settings(self) -> TieredSettings:
        return TieredSettings(levels=("upper", "lower"), capacities=(7 * 8 * 4096,))

    @pytest.fixture
    def work(self) -> Work:
        return Work(op="mixed", block_bytes=self.block_bytes, batch=8, keys=self.keys, depth=8)

    def test_two_lanes_at_once(self) -> None:
        pytest.skip("a tiered tier is driven by one thread")


class TestOverMemory(_TieredContract):
    @pytest.fixture
    def tier(self, settings: TieredSettings) -> Tier:
        levels = (Tier("upper", "memory", MemorySettings()), Tier("lower", "memory", MemorySettings()))
        return Tier("cache", "tiered", settings, levels)

    @pytest.fixture
    def levels(self, tier: Tier, work: Work) -> Iterator[Sequence[Store]]:
        stores = [MemoryDriver().open(level, work, ()) for level in tier.levels]
        yield stores
        for store in stores:
            store.close()


class TestMemoryOverPosix(_TieredContract):
    @pytest.fixture
    def tier(self, settings: TieredSettings, tmp_path) -> Tier:
        disk = PosixDriver.settings(path=str(tmp_path / "data"), direct=False)
        levels = (Tier("upper", "memory", MemorySettings()), Tier("lower", "posix", disk))
        return Tier("cache", "tiered", settings, levels)

    @pytest.fixture
    def levels(self, tier: Tier, work: Work) -> Iterator[Sequence[Store]]:
        work = attrs.evolve(work, threads=1)
        stores = [
            driver.open(level, work, ())
            for driver, level in zip((MemoryDriver(), PosixDriver()), tier.levels, strict=True)
        ]
        yield stores
        for store in stores:
            store.close()


class TestOverSim(_TieredContract):
    holds_data = False

    @pytest.fixture
    def tier(self, settings: TieredSettings) -> Tier:
        fast = SimSettings(bandwidth_bytes_per_s=Fraction(10**10), latency_ns=1_000, parallelism=8)
        slow = SimSettings(bandwidth_bytes_per_s=Fraction(10**9), latency_ns=80_000, parallelism=4)
        levels = (Tier("upper", "sim", fast, virtual=True), Tier("lower", "sim", slow, virtual=True))
        return Tier("cache", "tiered", settings, levels, virtual=True)

    @pytest.fixture
    def levels(self, tier: Tier, work: Work) -> Sequence[Store]:
        return [SimDriver().open(level, work, ()) for level in tier.levels]
