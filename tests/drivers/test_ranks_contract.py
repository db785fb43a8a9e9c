"""The drivers whose workers can be ranks, under the contract of those."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from kvscen.plugin import Driver
from kvscen.testing.ranks import RanksContract
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.nixl.driver import NixlDriver
from kvscen_drivers.nixl.settings import NixlSettings
from tests.drivers.nixl.support import needs_nixl


class TestMemory(RanksContract):
    @pytest.fixture
    def driver(self) -> Driver:
        return MemoryDriver()

    @pytest.fixture
    def settings(self) -> Any:
        return MemorySettings()


@needs_nixl
class TestUcx(RanksContract):
    env: ClassVar[tuple[str, ...] | None] = None

    @pytest.fixture
    def driver(self) -> Driver:
        return NixlDriver()

    @pytest.fixture
    def settings(self) -> Any:
        return NixlSettings(backend="UCX", env=self.env).complete()


class TestUcxOverTcp(TestUcx):
    env = ("UCX_TLS=tcp",)
