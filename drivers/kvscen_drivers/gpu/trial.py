"""What a probe's child does: find out what can be done with the GPUs of this machine, and print it as one line of JSON.

`python -m kvscen_drivers.gpu.trial`. That a library is there proves nothing; asking it may hang.
"""

from __future__ import annotations

import json
import os
import sys

import attrs

from kvscen.plugin import DriverError
from kvscen_drivers.gpu import cuda
from kvscen_drivers.gpu.cuda import Card, open_gpu, why_not
from kvscen_drivers.gpu.steps import Failed, Step, say, walk

_LOADING = Step("loading CUDA's bindings", 6.0, cuda.INSTALL)
#: The first call into a cold driver takes several seconds.
OPENING = Step(
    "opening the GPU",
    12.0,
    "look at `nvidia-smi` and at Xid messages in the kernel's log: the driver may hang, or a GPU was lost",
)
_LISTING = Step("asking what each GPU is", 6.0, OPENING.remedy)


def look(device: int) -> tuple[list[Card], str]:
    """All GPUs, and the newest CUDA that the driver knows; `device` is really opened. Raises Unavailable."""
    say(_LOADING)
    cuda.bindings()
    say(OPENING)
    gpu = open_gpu(device)
    say(_LISTING)
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
    found = walk([sys.executable, "-P", "-m", "kvscen_drivers.gpu.trial", str(device)])
    if isinstance(found, Failed):
        return Verdict((), "", found.reason, found.remedy)
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
