"""The driver `gds` on stand-ins for the bindings of CUDA and cuFile, in this process alone."""

import pytest

from kvscen_drivers.gds import cufile
from tests.drivers.gds.in_worker import install
from tests.drivers.gds.standin import StandInCuFile
from tests.drivers.gpu.conftest import standin

__all__ = ["cufile_standin", "standin"]


@pytest.fixture
def cufile_standin(standin, monkeypatch):
    """cuFile that is none, on a GPU that is none."""
    api = StandInCuFile(standin)
    install(api, monkeypatch.setattr)
    cufile._open.clear()
    yield api
    cufile._open.clear()
