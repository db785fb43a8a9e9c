"""A store's client in this worker, and the private store behind it where no master is named."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kvscen.plugin import Arena, DriverError, Lost, Tier, Unavailable, available_bytes, show_bytes
from kvscen_drivers.calls import Failed
from kvscen_drivers.mooncake import wheel
from kvscen_drivers.mooncake.settings import MooncakeSettings, address_of
from kvscen_drivers.private import PrivateServer, free_port, on_free_port

#: What a private store has beyond the blocks: its allocator's own, and the end of each node's memory.
_SPARE_SHARE, _SPARE_BYTES = 8, 32 << 20
_CONNECT_S = 5.0


class Private:
    """A master, and nodes whose memory is the store's. Another process holds the blocks, so that they are moved."""

    def __init__(self, tier: Tier) -> None:
        self._settings: MooncakeSettings = tier.settings
        self._name = tier.name
        self._nbytes = 0
        self._keys: dict[int, int] = {}
        self.nodes: list[PrivateServer] = []
        self.master, port = on_free_port(self._start)
        self.address = f"127.0.0.1:{port}"

    def _start(self, port: int) -> PrivateServer:
        return PrivateServer(
            f"tier `{self._name}`: the private mooncake_master",
            [
                wheel.master_program(),
                "-rpc_address=127.0.0.1",
                f"-rpc_port={port}",
                "-metrics_host=127.0.0.1",
                f"-metrics_port={free_port()}",
                "-enable_metric_reporting=false",
                # What does not fit is refused instead of something else being dropped.
                "-eviction_high_watermark_ratio=1.0",
                "-eviction_ratio=0",
            ],
            lambda _: not reach(f"127.0.0.1:{port}"),
        )

    def make_room(self, keys: int, stride_bytes: int) -> None:
        """For these blocks, beside those of other sizes. What is there stays. Raises DriverError."""
        wanted = self._keys | {stride_bytes: max(keys, self._keys.get(stride_bytes, 0))}
        nbytes = sum(stride * count for stride, count in wanted.items())
        self._grow(nbytes)
        self._keys = wanted

    def _grow(self, nbytes: int) -> None:
        capacity = self._settings.capacity_bytes
        if nbytes <= (capacity or self._nbytes) and self._nbytes:
            return
        if capacity is not None and nbytes > capacity:
            raise DriverError(
                f"tier `{self._name}`: {show_bytes(nbytes)} of blocks do not fit in its {show_bytes(capacity)}",
                "give it a larger `capacity` or touch fewer keys (`working_set`)",
            )
        more = (capacity or nbytes) - self._nbytes
        more += 0 if capacity else more // _SPARE_SHARE + _SPARE_BYTES
        free = available_bytes()
        if free is not None and more > free:
            raise DriverError(
                f"tier `{self._name}`: {show_bytes(nbytes)} of blocks do not fit in the {show_bytes(free)} of free "
                "memory",
                "touch fewer keys (`working_set`)",
            )
        self.nodes.append(
            PrivateServer(
                f"tier `{self._name}`: the process that holds the blocks",
                [
                    *(sys.executable, "-P", "-m", "kvscen_drivers.mooncake.node", self.address),
                    *(self._settings.metadata, self._settings.protocol, self._settings.devices or "", str(more)),
                ],
                lambda node: "ready" in node.output.split(),
            )
        )
        self._nbytes = nbytes

    def check(self) -> None:
        """Raises Lost where one of them has ended."""
        for server in (self.master, *self.nodes):
            if server.ended:
                raise Lost(f"{server.what} {server.ended}", "run again; the next point starts a fresh store")

    def close(self) -> None:
        for server in (*self.nodes, self.master):
            server.close()


def reach(master: str) -> str:
    """Why nobody can be reached there, "" where somebody listens."""
    try:
        socket.create_connection(address_of(master), _CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


class Cluster:
    """One client of a tier's store, shared by the stores of all points in this worker; `leave` when done with it."""

    def __init__(self, tier: Tier) -> None:
        """Raises Unavailable, DriverError."""
        settings: MooncakeSettings = tier.settings
        self.users = 0
        self._tier = tier
        self._registered: Counter[int] = Counter()
        reason, remedy = wheel.why_not()
        if reason:
            raise Unavailable(f"tier `{tier.name}`: {reason}", remedy)
        self.private = Private(tier) if settings.master is None else None
        try:
            self.master = settings.master or self._own.address
            problem = reach(self.master)
            if problem:
                raise Unavailable(
                    f"tier `{tier.name}`: the master at {self.master} cannot be reached: {problem}",
                    "start it, or name another `master`",
                )
            self.api: Any = wheel.api().MooncakeDistributedStore()
            code = self.api.setup(
                *(settings.host, settings.metadata, 0, 0, settings.protocol, settings.devices or "", self.master)
            )
            if code:
                raise DriverError(
                    f"tier `{tier.name}`: Mooncake's setup with the master at {self.master} ended with "
                    f"{wheel.spelled(code)}",
                    "see the worker's log, `metadata`, `protocol` and `devices`",
                )
        except BaseException:
            if self.private is not None:
                self.private.close()
            raise

    @property
    def _own(self) -> Private:
        assert self.private is not None
        return self.private

    def register(self, arena: Arena) -> None:
        """Raises DriverError."""
        if not self._registered[arena.address]:
            code = self.api.register_buffer(arena.address, arena.nbytes)
            if code:
                raise DriverError(
                    f"tier `{self._tier.name}`: Mooncake does not register a buffer of {show_bytes(arena.nbytes)}: "
                    f"{wheel.spelled(code)}",
                    "use a smaller `depth`, or raise the limit of locked memory (ulimit -l)",
                )
        self._registered[arena.address] += 1

    def unregister(self, address: int) -> None:
        self._registered[address] -= 1
        if not self._registered[address]:
            del self._registered[address]
            with contextlib.suppress(Exception):
                self.api.unregister_buffer(address)

    def move(
        self, write: bool, names: Sequence[str], addresses: Sequence[int], sizes: Sequence[int]
    ) -> list[Failed | None]:
        """Blocks between keys and buffers, in one call."""
        # A put of a key that is there changes nothing and says that all is well.
        call = self.api.batch_upsert_from if write else self.api.batch_get_into
        answers: Sequence[int] = call(names, addresses, sizes)
        return [
            None if answer == (0 if write else wanted) else _failed(answer)
            for answer, wanted in zip(answers, sizes, strict=False)
        ]

    def check(self) -> None:
        """Raises Lost where a part of a private store has ended."""
        if self.private is not None:
            self.private.check()

    def close(self) -> None:
        # Its private store first: then the client has nobody to wait for.
        if self.private is not None:
            self.private.close()
        with contextlib.suppress(Exception):
            self.api.close()


def _failed(answer: int) -> Failed:
    if answer >= 0:
        return Failed(errno.EBADMSG, f"a value of {answer} bytes came")
    return Failed(wheel.errno_of(answer), wheel.spelled(answer), lost=not wheel.harmless(answer))


_clusters: dict[Tier, Cluster] = {}


def join(tier: Tier) -> Cluster:
    """Raises Unavailable, DriverError."""
    found = _clusters.get(tier)
    if found is None:
        found = _clusters[tier] = Cluster(tier)
    found.users += 1
    return found


def leave(tier: Tier, cluster: Cluster) -> None:
    """The last one ends it."""
    cluster.users -= 1
    if not cluster.users:
        _clusters.pop(tier, None)
        cluster.close()
