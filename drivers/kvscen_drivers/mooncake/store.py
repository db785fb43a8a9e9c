"""One tier of the driver `mooncake` in one worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvscen.plugin import Arena, DriverError, Lane, Layout, Limits, Lost, PathReport, Store, Tier, Work, host_arena
from kvscen_drivers.mooncake import wheel
from kvscen_drivers.mooncake.cluster import join, leave
from kvscen_drivers.mooncake.lane import MooncakeLane
from kvscen_drivers.mooncake.settings import MooncakeSettings
from kvscen_drivers.nixl import wire

#: Keys of one question whether they are there.
_ASKED = 4096


class MooncakeStore(Store):
    """One point's view of its tier's store."""

    def __init__(self, tier: Tier, work: Work) -> None:
        """Raises Unavailable, DriverError."""
        self._tier = tier
        self._settings: MooncakeSettings = tier.settings
        self.limits = Limits(alignment_bytes=1, max_in_flight=self._settings.max_in_flight)
        self._layout = Layout(0, 0, 1)
        self._lanes: list[MooncakeLane] = []
        self._cluster = join(tier)
        self._open = True
        self._before = self._seen()

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    @property
    def _where(self) -> str:
        return f"the Mooncake store of {self._cluster.master}"

    def lane(self, index: int, arena: Arena) -> Lane:
        lane = MooncakeLane(
            self._cluster,
            f"tier `{self._tier.name}`: {self._where}",
            arena,
            self._settings.max_in_flight,
            self._settings.patience_ns / 1e9,
            self.clock,
            self._whole,
        )
        lane.prefix = self._prefix
        self._lanes.append(lane)
        return lane

    @property
    def _prefix(self) -> str:
        """What the names of this layout's keys begin with: blocks of another size are other keys."""
        return f"{self._settings.prefix}{self._layout.stride_bytes}:"

    def _whole(self, key: int, offset: int, nbytes: int) -> bool:
        layout = self._layout
        return 0 <= key - layout.first_key < layout.keys and not offset and nbytes == layout.stride_bytes

    def prepare(self, layout: Layout) -> Sequence[int]:
        self._cluster.check()
        if self._cluster.private is not None:
            self._cluster.private.make_room(layout.keys, layout.stride_bytes)
        self._layout = layout
        for lane in self._lanes:
            lane.prefix = self._prefix
        first, missing = layout.first_key, []
        for start in range(first, first + layout.keys, _ASKED):
            keys = range(start, min(start + _ASKED, first + layout.keys))
            answers = self._cluster.api.batch_is_exist([f"{self._prefix}{key}" for key in keys])
            if any(answer < 0 for answer in answers):
                raise DriverError(
                    f"tier `{self._tier.name}`: {self._where} does not say which keys it has: "
                    f"{wheel.spelled(min(answers))}",
                    "see whether the master runs",
                )
            missing += [key for key, there in zip(keys, answers, strict=True) if not there]
        return missing

    def reset(self) -> None:
        self.check()
        self._before = self._seen()

    def _seen(self) -> tuple[tuple[int, int, int, int], Mapping[str, int]]:
        lanes = self._lanes
        return (
            sum(lane.calls for lane in lanes),
            sum(lane.called_ns for lane in lanes),
            sum(lane.moved for lane in lanes),
            sum(lane.moved_bytes for lane in lanes),
        ), wire.sent_bytes()

    def _since(self) -> tuple[int, int, int, int]:
        calls, called_ns, moved, nbytes = (
            now - then for now, then in zip(self._seen()[0], self._before[0], strict=True)
        )
        return calls, called_ns, moved, nbytes

    def measures(self) -> Mapping[str, int | float | str | None]:
        calls, called_ns, moved, _ = self._since()
        return {
            "mooncake_version": wheel.version(),
            "calls": calls,
            "call_mean_ns": called_ns / calls if calls else None,
            "blocks_per_call": moved / calls if calls else None,
        }

    def path(self) -> PathReport:
        private = " with a private process that holds the blocks" if self._cluster.private is not None else ""
        what = f"Mooncake {wheel.version()} {self._settings.protocol}{private}"
        moved = self._since()[3]
        if not moved:
            return PathReport("unknown", f"{what}; nothing has been moved yet")
        return wire.path_of(what, moved, self._before[1], wire.sent_bytes(), "the load's bytes")

    def locate(self, key: int) -> str:
        place = f"key `{self._prefix}{key}` in {self._where}"
        said = next((lane.said[key] for lane in self._lanes if key in lane.said), "")
        return f"{place} [{said}]" if said else place

    def check(self) -> None:
        self._cluster.check()
        lost = next((lane.lost for lane in self._lanes if lane.lost), "")
        if lost:
            raise Lost(lost, "see whether the master and its nodes run")

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        for lane in self._lanes:
            lane.close()
        leave(self._tier, self._cluster)
