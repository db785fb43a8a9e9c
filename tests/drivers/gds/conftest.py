"""The driver `gds` on stand-ins for the bindings of CUDA and cuFile, in this process alone."""

import pytest

from kvscen_drivers.gds import cufile, store, trial
from tests.drivers.gds.standin import StandInCuFile
from tests.drivers.gpu.conftest import standin

__all__ = ["cufile_standin", "standin"]


@pytest.fixture
def cufile_standin(standin, monkeypatch):
    """cuFile that is none, on a GPU that is none."""
    api = StandInCuFile()
    monkeypatch.setattr(cufile, "why_not", lambda: None)
    monkeypatch.setattr(cufile, "bindings", lambda: api)
    monkeypatch.setattr(cufile, "bindings_version", lambda: "13.2.0")
    monkeypatch.setattr(store, "bindings_version", lambda: "13.2.0")
    for module in (store, trial):
        monkeypatch.setattr(module, "examine", lambda device: trial.Verdict({"cuFile": "a stand-in"}))
    cufile._open.clear()
    yield api
    cufile._open.clear()
