"""When to look again rather than to sleep. Being woken takes longer than a small block does, and far longer in a
virtual machine, whose CPU went to sleep as well."""

from __future__ import annotations

import os

#: How long to look where nobody says otherwise.
SPIN_NS = 100_000
#: What came within so many times `spin_ns` is worth looking for the next time: it includes being woken.
_SOON = 2


class Patience:
    """Of one who waits, again and again: for `spin_ns` it looks without sleeping, as long as what it waits for comes
    soon. The CPU is offered to others meanwhile."""

    def __init__(self, spin_ns: int) -> None:
        self._spin_ns = spin_ns
        self._began = 0
        self._looks = spin_ns > 0

    @property
    def looks(self) -> bool:
        """Whether the next wait begins with looking."""
        return self._looks

    def again(self, now: int) -> bool:
        """Nothing is there at `now` (ns): whether to look at once; False is the time to sleep."""
        self._began = self._began or now
        if self._looks and now - self._began < self._spin_ns:
            os.sched_yield()
            return True
        return False

    def came(self, now: int) -> None:
        """Something is there."""
        if self._began:
            self._looks = now - self._began < _SOON * self._spin_ns
            self._began = 0
