"""How a driver starts a process that ends with the worker, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def leashed(argv: Sequence[str]) -> list[str]:
    """The command line that starts `argv` so that it is killed when this process ends. To be spawned from the main
    thread, in which `Driver.open` is called: the kernel watches the thread that spawns."""
    return [sys.executable, "-P", "-m", "kvscen.execute.leash", str(os.getpid()), *argv]
