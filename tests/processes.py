"""Other processes, seen from a test."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def kill(pid: int) -> None:
    """Kill a child of this process, and go on when it is dead: its sockets close before it is, and whoever asks in
    between finds it running. Who started it learns its status as if nobody had waited."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def gone(pid: int) -> bool:
    """Does it end within five seconds? What was killed is not gone at once, and nobody may wait for it."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
