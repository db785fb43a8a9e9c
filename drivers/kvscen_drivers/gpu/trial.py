"""What a probe's child does: find out what can be done with the GPUs of this machine, and print it as one line of JSON.

`python -m kvscen_drivers.gpu.trial`. That a library is there proves nothing; asking it may hang.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import attrs

from kvscen.plugin import DriverError
from kvscen_drivers.gpu.cuda import Card, open_gpu, why_not

#: The first call into a cold driver takes several seconds.
LIMIT_S = 15.0


def child_environment() -> dict[str, str]:
    """For a child that finds what we find, wherever that was found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def ask(module: str, *arguments: str, limit_s: float = LIMIT_S) -> dict[str, Any] | str:
    """What the child `python -m MODULE ARGUMENTS` answers, or how it failed."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=child_environment(),
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {limit_s:g} s"
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except (ValueError, IndexError):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return f"ends the process that asks it (status {done.returncode}{f': {lines[-1]}' if lines else ''})"


def look(device: int) -> tuple[list[Card], str]:
    """All GPUs, and the newest CUDA that the driver knows; `device` is really opened. Raises Unavailable."""
    gpu = open_gpu(device)
    return [gpu.card(number) for number in range(gpu.count)], gpu.cuda


@attrs.frozen
class Verdict:
    """Whether a GPU can be used here. If not, why and what to do."""

    gpus: tuple[str, ...] = ()
    cuda: str = ""
    reason: str = ""
    remedy: str = ""


def examine(device: int) -> Verdict:
    """Tries it in a child."""
    reason = why_not()
    if reason is not None:
        return Verdict((), "", *reason)
    found = ask("kvscen_drivers.gpu.trial", str(device))
    if isinstance(found, str):
        remedy = "look at `nvidia-smi`: the driver may hang, or wait for a GPU that was lost"
        return Verdict((), "", f"CUDA {found}", remedy)
    return Verdict(tuple(found["gpus"]), found["cuda"], found["reason"], found["remedy"])


def answer(device: int) -> Verdict:
    try:
        cards, cuda = look(device)
    except DriverError as error:
        return Verdict((), "", str(error), error.remedy)
    return Verdict(tuple(map(str, cards)), cuda)


if __name__ == "__main__":
    print(json.dumps(attrs.asdict(answer(int(sys.argv[1])))), flush=True)
    os._exit(0)  # nothing of CUDA's keeps the answer waiting
