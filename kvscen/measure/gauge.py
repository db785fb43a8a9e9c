"""How full the levels of a cache are, over time: few readings, however long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Where there are more readings, every other one goes, and the next come half as often.
MOST_READINGS = 256
FIRST_EVERY_NS = 10_000_000


class Gauge:
    """Reads `occupancy` (blocks of each level) when it is looked at and it is time for a reading."""

    def __init__(self, occupancy: Callable[[], Sequence[int]]) -> None:
        self._occupancy = occupancy
        self._every_ns = FIRST_EVERY_NS
        self._next_ns = 0
        self._readings: list[tuple[int, tuple[int, ...]]] = []

    def look(self, now: int) -> None:
        if now < self._next_ns:
            return
        self._readings.append((now, tuple(self._occupancy())))
        if len(self._readings) > MOST_READINGS:
            self._readings = self._readings[::2]
            self._every_ns *= 2
        self._next_ns = now + self._every_ns

    def readings(self, now: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(time, blocks of each level), the last one as it is now; none where nothing tells."""
        held = tuple(self._occupancy())
        return (*self._readings, (now, held)) if held else ()
