"""`python -m kvscen_drivers.nixl.target BACKEND PARAMETERS ACTIVITY`: the process whose memory a network backend reads
and writes.

PARAMETERS is a JSON object, ACTIVITY an inherited file descriptor of shared memory: its first 64-bit word changes while
lanes have something to do. Each line on stdin asks for memory, in bytes; the answer is a line of JSON, with what
another agent needs to reach it. Ends when stdin does, which is when the worker does, however it ends.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
import time
from typing import Any

import numpy as np

from kvscen.plugin import Arena, DriverError, host_arena
from kvscen_drivers.nixl import wheel

#: How long it goes on helping transfers along without a sign of the lanes. They give one at least every 100 ms.
_ACTIVE_S = 0.5
#: How often it looks for a sign, idle.
_IDLE_S = 0.001
#: Rounds of helping between two looks at the clock and at stdin.
_ROUNDS = 64


class Target:
    """The agent, and the memory that it has registered."""

    def __init__(self, backend: str, parameters: dict[str, str]) -> None:
        api = wheel.api()
        config = api.nixl_agent_config(enable_prog_thread=False, backends=[])
        self._agent: Any = api.nixl_agent(f"kvscen-target-{os.getpid()}", config)
        self._agent.create_backend(backend, parameters)
        self._backends = [backend]
        self._arena: Arena | None = None
        self._registered: Any = None

    def give(self, nbytes: int) -> dict[str, Any]:
        """Memory of so many bytes instead of what there was; what was in it is gone."""
        if self._arena is not None:
            self._agent.deregister_memory(self._registered, backends=self._backends)
            self._arena.close()
            self._arena = None
        try:
            arena = host_arena(nbytes)
        except DriverError as error:
            return {"problem": str(error)}
        self._registered = self._agent.register_memory(
            [(arena.address, arena.nbytes, 0, "")], "DRAM", backends=self._backends
        )
        self._arena = arena
        metadata: bytes = self._agent.get_agent_metadata()
        return {"address": arena.address, "pages": arena.pages, "metadata": metadata.hex()}

    def help_along(self) -> None:
        """Without hardware that does it, moving bytes takes both processes."""
        for _ in range(_ROUNDS):
            self._agent.get_new_notifs(self._backends)


def main(backend: str, parameters: dict[str, str], activity: int) -> None:
    """Serve until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes to the log
    sign = np.frombuffer(mmap.mmap(activity, mmap.PAGESIZE), np.int64, 1)
    target = Target(backend, parameters)
    pending, seen, active_until = b"", -1, 0.0
    while True:
        if int(sign[0]) != seen:
            seen, active_until = int(sign[0]), time.monotonic() + _ACTIVE_S
        active = time.monotonic() < active_until
        if active:
            target.help_along()
        if not select.select([0], [], [], 0 if active else _IDLE_S)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            return
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            os.write(answers, json.dumps(target.give(int(line))).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
    os._exit(0)
