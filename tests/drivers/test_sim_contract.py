from __future__ import annotations

from fractions import Fraction

import pytest

from kvscen.testing.contract import DriverContract
from kvscen_drivers.sim import SimDriver, SimSettings


class TestSim(DriverContract):
    holds_data = False

    @pytest.fixture
    def driver(self) -> SimDriver:
        return SimDriver()

    @pytest.fixture
    def settings(self) -> SimSettings:
        return SimSettings(bandwidth_bytes_per_s=Fraction(10**9), latency_ns=80_000, parallelism=4)
