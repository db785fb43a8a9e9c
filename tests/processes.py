"""Other processes, seen from a test."""

from __future__ import annotations

import time
from pathlib import Path


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
