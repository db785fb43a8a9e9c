"""A tiered tier all of whose levels are computed: the same decisions and the same moves, on one virtual clock.

Nothing is different but the waiting. Where a real tier waits for a level, this one moves the clock that all levels
share to the next time at which anything ends on any of them, and takes all that has ended by then before it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvscen.plugin import (
    DriverError,
    Lane,
    Layout,
    Rows,
    Store,
    Tier,
    VirtualClock,
    VirtualLane,
    VirtualStore,
    Work,
)
from kvscen_drivers.tiered.lane import TieredArena, TieredLane
from kvscen_drivers.tiered.mover import Mover
from kvscen_drivers.tiered.store import TieredStore


def open_store(tier: Tier, work: Work, levels: Sequence[Store]) -> TieredStore:
    """A store over levels that are all real, or all computed. Raises DriverError."""
    computed = [level.name for level, store in zip(tier.levels, levels, strict=True) if store.virtual]
    if not computed:
        return TieredStore(tier, work, levels)
    if len(computed) < len(levels):
        real = next(level.name for level in tier.levels if level.name not in computed)
        raise DriverError(
            f"tier `{tier.name}`: the level `{computed[0]}` is simulated and the level `{real}` is not",
            "build it of simulated tiers alone, or of tiers that keep data, such as memory and posix",
        )
    return VirtualTieredStore(tier, work, levels)


class VirtualTieredStore(TieredStore, VirtualStore):
    def __init__(self, tier: Tier, work: Work, levels: Sequence[Store]) -> None:
        VirtualStore.__init__(self)
        TieredStore.__init__(self, tier, work, levels)
        for level in levels:
            assert isinstance(level, VirtualStore)
            level.time = self.time

    def prepare(self, layout: Layout) -> Sequence[int]:
        """A replay begins with an empty cache, and has no data to be laid out for it."""
        missing = super().prepare(layout)
        return range(0) if self._replays else missing

    def _lane_over(self, lanes: Sequence[Lane], arena: TieredArena) -> TieredLane:
        return VirtualTieredLane(self, lanes, VirtualMover(lanes, self.names, arena.bounce, self.time), arena)


class VirtualMover(Mover):
    def __init__(self, lanes: Sequence[Lane], names: Sequence[str], bounce: Sequence[int], time: VirtualClock) -> None:
        super().__init__(lanes, names, bounce, lambda: time.now_ns)
        self._time = time
        self._virtual = [lane for lane in lanes if isinstance(lane, VirtualLane)]
        assert len(self._virtual) == len(lanes)

    def next_event_ns(self) -> int | None:
        """When something ends on a level, for the caller or for a move; None where nothing is under way."""
        first = None
        for lane in self._virtual:
            event = lane.next_event_ns()
            if event is not None and (first is None or event < first):
                first = event
        return first

    def collect(self, timeout_ns: int = 0) -> bool:
        """Go on to the next time at which something ends, by `timeout_ns` at most, and take what has ended by then."""
        self.push()
        until = self._time.now_ns + timeout_ns
        event = self.next_event_ns()
        if event is None or event > until:
            self._time.advance_to(until)
            return False
        self._time.advance_to(event)
        now, found = self._time.now_ns, False
        for level, lane in enumerate(self._virtual):
            event = lane.next_event_ns()
            if event is not None and event <= now:
                found |= self._reap(level, 0, 0)
        self.push()
        return found


class VirtualTieredLane(TieredLane, VirtualLane):
    mover: VirtualMover

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        """With nothing in flight it lets the timeout pass, while moves go on."""
        if not self.idle:
            return super().reap(out, at_least, timeout_ns)
        clock = self._store.clock
        until = clock() + timeout_ns
        while (left := until - clock()) > 0:
            self.mover.collect(left)
        return 0

    def next_event_ns(self) -> int | None:
        return self._store.clock() if self.has_ended else self.mover.next_event_ns()
