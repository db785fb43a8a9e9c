"""The stand-ins as a driver of another name, for real worker processes: nothing that it measures is stored as `gds`."""

from __future__ import annotations

from collections.abc import Sequence

from kvscen.plugin import Store, Tier, Work
from kvscen_drivers.gds import cufile, store, trial
from kvscen_drivers.gds.driver import GdsDriver
from kvscen_drivers.gpu import cuda
from tests.drivers.gds.standin import StandInCuFile
from tests.drivers.gpu.standin import StandIn

#: Bounce buffers of the stand-in's cuFile.
ROOMS = 12


def install(api: StandInCuFile, put=setattr) -> None:
    """In this process `api` is cuFile from now on."""
    put(cufile, "why_not", lambda: None)
    put(cufile, "bindings", lambda: api)
    put(cufile, "bindings_version", lambda: "13.2.0")
    put(store, "bindings_version", lambda: "13.2.0")
    for module in (store, trial):
        put(module, "examine", lambda device: trial.Verdict({"cuFile": "a stand-in"}))


class StandInGds(GdsDriver):
    """`gds` on stand-ins, with few bounce buffers."""

    name = "gds_stand_in"
    summary = "A stand-in for tests: host memory plays a GPU's."

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        if not cufile._open:
            gpu = StandIn()
            cuda.why_not, cuda.bindings = (lambda: None), (lambda: gpu)
            api = StandInCuFile(gpu)
            api.parameters[9], api.rooms = 8, ROOMS
            install(api)
        return super().open(tier, work, levels)
