"""The connections of a lane, several to each server maybe: waiting for any of them, and mending those that broke."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable, Iterable

from kvscen.plugin import DriverError, Lost
from kvscen_drivers.memkv.client import Counted
from kvscen_drivers.memkv.lent import LentLine
from kvscen_drivers.memkv.line import Broken, Line, Unit
from kvscen_drivers.memkv.redial import Redial

#: A connection that broke is tried again after so long.
_RETRY_NS = 100_000_000

_log = logging.getLogger("kvscen.driver")


class Lines:
    """`dial` makes a connection to a server (by number) and may raise DriverError. `only` is the one, if there is one.

    A server that sends nothing for `timeout_ns` is given up.
    """

    def __init__(self, dial: Callable[[int], Line], servers: int, connections: int, timeout_ns: int) -> None:
        """Raises DriverError where a server cannot be reached."""
        self._dial, self._timeout_ns = dial, timeout_ns
        self._redials: dict[Line, Redial] = {}
        self._poll = select.poll()
        self._turn = 0
        self._of: list[list[Line]] = []
        self.all: list[Line] = []
        try:
            for server in range(servers):
                self._of.append([])
                for _ in range(connections):
                    line = dial(server)
                    self._of[server].append(line)
                    self.all.append(line)
        except DriverError:
            self.close()
            raise
        self.only = self.all[0] if len(self.all) == 1 else None
        #: Whether they move values themselves, and what a request takes beside its value.
        self.moves, self.overhead_bytes = self.all[0].moves, self.all[0].overhead_bytes

    def to(self, server: int) -> Line:
        """One to a server, each of them in turn."""
        lines = self._of[server]
        if len(lines) == 1:
            return lines[0]
        self._turn += 1
        return lines[self._turn % len(lines)]

    # ---- waiting

    def wait(self, timeout_ns: int) -> bool:
        """Until something can be received or sent, or the time has passed. False where nothing is in flight."""
        flying = [line for line in self.all if line.busy and line.sock is not None]
        if not flying:
            return False
        if self.moves and any(line.moving for line in flying):
            os.sched_yield()  # nothing would wake us when a device has ended
            return True
        poll = self._poll
        for line in flying:
            assert line.sock is not None
            line.await_bytes()
            poll.register(line.sock, select.POLLIN | (select.POLLOUT if line.out else 0))
        poll.poll(max(1, min(timeout_ns, self._timeout_ns // 4) // 1_000_000))
        for line in flying:
            assert line.sock is not None
            poll.unregister(line.sock)
        return True

    def silent(self, now: int) -> Iterable[Line]:
        """Those that have been asked for something and have sent nothing for too long."""
        return [line for line in self.all if line.busy and now - line.moved_ns > self._timeout_ns]

    # ---- what goes wrong

    def broke(self, line: Line, broken: Broken) -> Iterable[Unit]:
        """What was in flight on it, and will not be answered."""
        _log.error("the connection to the memkv server %s is gone: %s", line.endpoint, broken)
        line.complaint = line.complaint or str(broken)
        line.close()
        line.retry_ns = time.monotonic_ns() + _RETRY_NS
        return line.abandon(self._timeout_ns)

    def usable(self, line: Line) -> bool:
        """Whether there is a connection: where it broke it is made anew, now and then, and nobody waits for it."""
        if line.sock is not None:
            return True
        redial = self._redials.get(line)
        if redial is None:
            if time.monotonic_ns() >= line.retry_ns:
                self._redials[line] = Redial(lambda: self._dial(line.server))
            return False
        if not redial.done:
            return False
        del self._redials[line]
        fresh = redial.take()
        if fresh is None:
            line.retry_ns = time.monotonic_ns() + _RETRY_NS
            return False
        line.renew(fresh)
        return True

    def mend(self) -> None:
        """Connect anew what broke, before a load begins. Raises DriverError where a server cannot be reached."""
        for line in self.all:
            if line.sock is None:
                redial = self._redials.pop(line, None)
                fresh = (redial and redial.take()) or self._dial(line.server)
                line.renew(fresh)

    def close(self) -> None:
        """What is in flight is abandoned."""
        for line in self.all:
            line.close()
            with contextlib.suppress(Lost):
                line.abandon(self._timeout_ns)
        for redial in self._redials.values():
            if redial.done and (made := redial.take()) is not None:
                made.close()

    # ---- what is known of them

    def counted(self) -> tuple[int, int, Counted | None]:
        """Bytes sent and received as we count them, and as the kernel does, if it says."""
        sent, received = sum(line.sent_bytes for line in self.all), sum(line.received_bytes for line in self.all)
        total: Counted | None = Counted()
        for line in self.all:
            seen = line.counted()
            total = None if seen is None or total is None else total + seen
        return sent, received, total

    def moved(self) -> tuple[int, int]:
        """Reads and writes that they did in the servers' memory by themselves, and their bytes."""
        lent = [line for line in self.all if isinstance(line, LentLine)]
        return sum(line.moved_operations for line in lent), sum(line.moved_bytes for line in lent)

    def complaint(self) -> str:
        """What a server said, or did, when something first failed; empty where nothing has."""
        return next((f"{line.endpoint}: {line.complaint}" for line in self.all if line.complaint), "")
