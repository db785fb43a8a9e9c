"""A connection that is made anew beside the load: to greet a server that hangs takes as long as its timeout, and the
other servers' blocks go on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kvscen.plugin import DriverError
from kvscen_drivers.memkv.line import Line


class Redial:
    """`dial` runs in a thread of its own and may raise DriverError."""

    def __init__(self, dial: Callable[[], Line]) -> None:
        self._dial = dial
        self._made: Line | None = None
        self._thread = threading.Thread(target=self._run, name="memkv-redial", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._made = self._dial()
        except DriverError:
            self._made = None

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def take(self) -> Line | None:
        """What was made, once: None where the server cannot be reached. Waits until it is `done`."""
        self._thread.join()
        made, self._made = self._made, None
        return made
