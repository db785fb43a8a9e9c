"""What can only be measured inside a worker, in a process of its own: `python benchmarks/inside.py WHAT FOLDER [...]`.

It drives kvscen.execute.session.Session as kvscen.worker does, and prints one JSON object. benchmarks/posix.py runs it.

    recording FOLDER SECONDS PAIRS    pairs of (operations a second, CPU ns an operation): with the recorder, and with
                                      one that does nothing
    memory FOLDER OPERATIONS          the most memory that the process ever held, after so many operations
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import kvscen.execute.trial as trial
from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.measure.recorder import Recorder
from kvscen.plan.point import Tier, Work
from kvscen.plugin.contract import Rows
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings

BLOCK, DEPTH, KEYS = 4096, 64, 16_384


class Nothing(Recorder):
    """A recorder that records nothing, so that its cost can be told."""

    def push(self, ops: Rows) -> None:
        return


class Point:
    """4 KiB reads at depth 64 in one lane, through the page cache of a folder on tmpfs."""

    def __init__(self, folder: Path, **work: Any) -> None:
        self.session = Session()
        shape = {"op": "read", "block_bytes": BLOCK, "batch": 1, "depth": DEPTH, "keys": KEYS, "order": "random"}
        tier = Tier("shm", "posix", PosixSettings(path=str(folder), direct=False))
        target = f"{PosixDriver.__module__}:{PosixDriver.__qualname__}"
        self.ask(messages.Open("p", tier, Work(**shape, **work), 0, {"posix": target}, 1), messages.Opened)
        self.ask(messages.Prepare("p"), messages.Prepared)

    def ask(self, request: messages.Request, expected: type) -> Any:
        reply = self.session.handle(request)
        if not isinstance(reply, expected):
            sys.exit(f"{request}: {reply}")
        return reply

    def run(self, seed: int) -> messages.Measured:
        self.ask(messages.Arm("p", seed), messages.Armed)
        return self.ask(messages.Go(time.perf_counter_ns() + 5_000_000), messages.Measured)


def recording(folder: Path, seconds: float, pairs: int) -> dict[str, Any]:
    point = Point(folder, time_ns=round(seconds * 1e9))
    beat = point.session.beat.cells

    def load(recorder: type[Recorder], seed: int) -> tuple[float, float]:
        trial.Recorder = recorder  # type: ignore[misc]
        before = int(beat[0])
        measured = point.run(seed)
        if (recorder is Nothing) != (measured.sample.operations == 0):
            sys.exit("the recorder was not the one that was asked for")
        count = int(beat[0]) - before
        return count / seconds, measured.cpu_ns / count

    load(Recorder, 0)  # the first load warms up
    found = []
    for pair in range(pairs):
        order = (Recorder, Nothing) if pair % 2 else (Nothing, Recorder)
        loads = {recorder: load(recorder, 1 + pair) for recorder in order}
        found.append((loads[Recorder], loads[Nothing]))
    return {"pairs": found}


def memory(folder: Path, operations: int) -> dict[str, Any]:
    point = Point(folder, operations=operations)
    done = point.run(1).sample.operations
    # Not ru_maxrss: a new program begins with what the one had that started it.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    return {"operations": done, "peak_bytes": int(peak[1]) * 1024}


def main(what: str, folder: str, *numbers: str) -> None:
    if what == "recording":
        answer = recording(Path(folder), float(numbers[0]), int(numbers[1]))
    else:
        answer = memory(Path(folder), int(numbers[0]))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
