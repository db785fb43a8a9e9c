"""One tier of the driver `mooncake` in one worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvscen.plugin import Arena, DriverError, Lane, Layout, PathReport, Tier, Work
from kvscen_drivers.call_store import CallStore
from kvscen_drivers.mooncake import wheel
from kvscen_drivers.mooncake.cluster import join, leave
from kvscen_drivers.mooncake.settings import MooncakeSettings


class MooncakeStore(CallStore):
    """One point's view of its tier's store."""

    def __init__(self, tier: Tier, work: Work) -> None:
        """Raises Unavailable, DriverError."""
        settings: MooncakeSettings = tier.settings
        self._protocol = settings.protocol
        self._cluster = join(tier)
        self._open = True
        where = f"the Mooncake store of {self._cluster.master}"
        super().__init__(tier, where, settings.prefix, settings.max_in_flight, settings.patience_ns)

    def lane(self, index: int, arena: Arena) -> Lane:
        cluster, address = self._cluster, arena.address
        cluster.register(arena)
        return self._lane(cluster.move, arena, lambda: cluster.unregister(address))

    def prepare(self, layout: Layout) -> Sequence[int]:
        self._cluster.check()
        if self._cluster.private is not None:
            self._cluster.private.make_room(layout.keys, layout.stride_bytes)
        return self._missing(layout, self._there)

    def _there(self, names: list[str]) -> Sequence[int]:
        answers: Sequence[int] = self._cluster.api.batch_is_exist(names)
        if any(answer < 0 for answer in answers):
            raise DriverError(
                f"tier `{self._tier.name}`: {self._where} does not say which keys it has: "
                f"{wheel.spelled(min(answers))}",
                "see whether the master runs",
            )
        return answers

    def measures(self) -> Mapping[str, int | float | str | None]:
        return {"mooncake_version": wheel.version(), **super().measures()}

    def path(self) -> PathReport:
        private = " with a private process that holds the blocks" if self._cluster.private is not None else ""
        return self._path(f"Mooncake {wheel.version()} {self._protocol}{private}")

    def check(self) -> None:
        self._cluster.check()
        super().check()

    def close(self) -> None:
        if self._open:
            self._open = False
            super().close()
            leave(self._tier, self._cluster)
