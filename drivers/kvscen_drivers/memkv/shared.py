"""A server's memory, as clients reach it that move bytes themselves: a file in memory on the same host, or what an RDMA
device has been told of."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

import attrs

from kvscen.plugin import DriverError, show_bytes
from kvscen_drivers.memkv.engine import Engine
from kvscen_drivers.memkv.memory import Region
from kvscen_drivers.memkv.protocol import TRANSPORTS

#: Beside the values: those that are on their way, and gaps between slots of several sizes.
_SPARE_SHARE, _SPARE_BYTES = 4, 64 << 20


@attrs.frozen(eq=False)
class Shared:
    """`told`: what clients have to know of it, by transport. `engine` keeps the memory registered."""

    region: Region
    told: dict[str, dict[str, object]]
    engine: Engine | None

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.region.close()

    @property
    def transports(self) -> frozenset[int]:
        return frozenset(TRANSPORTS[name] for name in ("tcp", *self.told))


def share(
    capacity_bytes: int, host: str, shm: bool, devices: Sequence[str] | None, gid_index: int | None
) -> Shared | None:
    """Memory for so many bytes of values; None where nobody is to reach it. `devices`: the RDMA devices, all where it
    is empty, none where it is None. Raises DriverError."""
    if not shm and devices is None:
        return None
    nbytes = capacity_bytes + capacity_bytes // _SPARE_SHARE + _SPARE_BYTES
    # Nobody can guess it: whoever maps a file of this name maps this server's memory.
    name = f"kvscen-memkv-{secrets.token_hex(16)}" if shm else None
    try:
        region = Region(nbytes, name)
    except OSError as error:
        raise DriverError(f"the machine has no {show_bytes(nbytes)} of memory: {error.strerror}", "") from error
    told: dict[str, dict[str, object]] = {}
    if shm:
        told["shm"] = {"pid": os.getpid(), "descriptor": region.descriptor, "name": name, "bytes": region.nbytes}
    if devices is None:
        return Shared(region, told, None)
    engine = Engine(host, devices, gid_index)
    engine.register(region.address, region.nbytes)
    region.pinned = True
    told["rdma"] = {
        "segment": engine.segment,
        "devices": ", ".join(engine.devices),
        "address": region.address,
        "bytes": region.nbytes,
    }
    return Shared(region, told, engine)
