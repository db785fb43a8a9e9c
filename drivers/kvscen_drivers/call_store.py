"""What stores have in common whose client library moves blocks between named keys and addresses (`calls`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kvscen.plugin import Arena, Layout, Limits, Lost, Measure, PathReport, Store, Tier, host_arena
from kvscen_drivers.calls import CallLane, Move
from kvscen_drivers.nixl import wire

#: Keys of one question whether they are there.
_ASKED = 4096

MEASURES = (
    Measure("calls", "int64", "", "calls of the library that moved blocks, from the start of the load to its end"),
    Measure("call_mean_ns", "float64", "ns", "mean time of one of them"),
    Measure("blocks_per_call", "float64", "", "mean blocks of one of them"),
)


class CallStore(Store):
    """`where` names the store in messages. The names of keys are `prefix`, the size of a block and a number, so that
    blocks of another size are other keys."""

    def __init__(self, tier: Tier, where: str, prefix: str, max_in_flight: int, patience_ns: int) -> None:
        self._tier, self._where = tier, where
        self._own_prefix, self._patience_s = prefix, patience_ns / 1e9
        self.limits = Limits(alignment_bytes=1, max_in_flight=max_in_flight)
        self._layout = Layout(0, 0, 1)
        self._lanes: list[CallLane] = []
        self._before = self._seen()

    def allocate(self, nbytes: int, memory: str) -> Arena:
        return host_arena(nbytes)

    def _lane(self, move: Move, arena: Arena, ended: Callable[[], None] = lambda: None) -> CallLane:
        lane = CallLane(
            move,
            f"tier `{self._tier.name}`: {self._where}",
            arena,
            self.limits.max_in_flight,
            self._patience_s,
            self.clock,
            self._whole,
            ended,
        )
        lane.prefix = self._prefix
        self._lanes.append(lane)
        return lane

    @property
    def _prefix(self) -> str:
        return f"{self._own_prefix}{self._layout.stride_bytes}:"

    def _whole(self, key: int, offset: int, nbytes: int) -> bool:
        layout = self._layout
        return 0 <= key - layout.first_key < layout.keys and not offset and nbytes == layout.stride_bytes

    def _missing(self, layout: Layout, there: Callable[[list[str]], Sequence[object]]) -> list[int]:
        """Turn to this layout; which of its keys are not there, as `there` says of names."""
        self._layout = layout
        for lane in self._lanes:
            lane.prefix = self._prefix
        missing: list[int] = []
        end = layout.first_key + layout.keys
        for start in range(layout.first_key, end, _ASKED):
            keys = range(start, min(start + _ASKED, end))
            answers = there([f"{self._prefix}{key}" for key in keys])
            missing += [key for key, answer in zip(keys, answers, strict=True) if not answer]
        return missing

    # ---- trials

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

    def _since(self) -> tuple[int, ...]:
        return tuple(now - then for now, then in zip(self._seen()[0], self._before[0], strict=True))

    def measures(self) -> Mapping[str, int | float | str | None]:
        calls, called_ns, moved, _ = self._since()
        return {
            "calls": calls,
            "call_mean_ns": called_ns / calls if calls else None,
            "blocks_per_call": moved / calls if calls else None,
        }

    def _path(self, what: str) -> PathReport:
        """By what the interfaces have sent since `reset`: the libraries do not say."""
        moved = self._since()[3]
        if not moved:
            return PathReport("unknown", f"{what}; nothing has been moved yet")
        return wire.path_of(what, moved, self._before[1], wire.sent_bytes(), "the load's bytes")

    def locate(self, key: int) -> str:
        place = f"key `{self._prefix}{key}` in {self._where}"
        said = next((lane.said[key] for lane in self._lanes if key in lane.said), "")
        return f"{place} [{said}]" if said else place

    def check(self) -> None:
        lost = next((lane.lost for lane in self._lanes if lane.lost), "")
        if lost:
            raise Lost(lost, "see whether its servers run")

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
