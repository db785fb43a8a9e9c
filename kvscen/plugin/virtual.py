"""Stores whose times are computed: a clock that is moved, instead of the machine's."""

from __future__ import annotations

from kvscen.plugin.contract import Lane, Store


class VirtualLane(Lane):
    """A lane of a `VirtualStore`: `reap` moves the store's clock on instead of waiting, and not beyond the end of what
    it waits for. With nothing in flight it lets the whole timeout pass."""

    def next_event_ns(self) -> int | None:
        """Before this time no operation in flight ends; None when none is."""
        raise NotImplementedError


class VirtualClock:
    """A clock that is moved, from 0 on. Stores that are levels of one tier share one."""

    __slots__ = ("now_ns",)

    def __init__(self) -> None:
        self.now_ns = 0

    def advance_to(self, time_ns: int) -> None:
        """A time that has passed already changes nothing."""
        if time_ns > self.now_ns:
            self.now_ns = time_ns


class VirtualStore(Store):
    """A tier whose times are computed: nothing is moved, nothing verified. Its lanes are `VirtualLane`s that go by
    `time`. A composed store gives all of its levels its own one before it asks them for lanes, and has them all go by
    one clock so.
    """

    virtual = True
    time: VirtualClock

    def __init__(self) -> None:
        self.time = VirtualClock()

    def clock(self) -> int:
        return self.time.now_ns
