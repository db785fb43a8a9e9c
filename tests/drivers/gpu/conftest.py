"""The driver `gpu` on a stand-in for CUDA's bindings, in this process alone."""

import pytest

from kvscen_drivers.gpu import blocks, cuda
from tests.drivers.gpu.standin import StandIn


@pytest.fixture
def standin(monkeypatch):
    """A GPU of 64 MiB that is none."""
    api = StandIn()
    monkeypatch.setattr(cuda, "why_not", lambda: None)
    monkeypatch.setattr(cuda, "bindings", lambda: api)
    cuda._opened.cache_clear()
    yield api
    cuda._opened.cache_clear()
    blocks._memory_of.clear()
