"""A clock that moves only when it is told to, for tests of loops."""

from __future__ import annotations


class FakeClock:
    """Whole nanoseconds from `start_ns`. Call it to read it: it fits wherever a clock is a function.

    `tick_ns` is by how much each reading moves it on, so that a loop that polls comes to an end.
    """

    def __init__(self, start_ns: int = 0, tick_ns: int = 0) -> None:
        self.now_ns = start_ns
        self.tick_ns = tick_ns

    def __call__(self) -> int:
        now = self.now_ns
        self.now_ns += self.tick_ns
        return now

    def advance(self, by_ns: int) -> None:
        """Move on. ValueError for a step back: no clock of ours goes backwards."""
        if by_ns < 0:
            raise ValueError(f"a clock does not go back (by {-by_ns} ns)")
        self.now_ns += by_ns

    def sleep(self, seconds: float) -> None:
        """In the place of `time.sleep`."""
        self.advance(round(seconds * 1e9))
