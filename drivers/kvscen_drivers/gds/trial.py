"""What a probe's child does: open cuFile step by step, and say before each step which one it is.

`python -m kvscen_drivers.gds.trial DEVICE`. Where there is something amiss, opening cuFile may never return: then the
last line tells where it hangs.
"""

from __future__ import annotations

import functools
import json
import os
import sys

import attrs

from kvscen.plugin import DriverError
from kvscen_drivers.gds import cufile
from kvscen_drivers.gds.ways import NVIDIA_FS
from kvscen_drivers.gpu.cuda import open_gpu
from kvscen_drivers.gpu.steps import Failed, Step, say, walk
from kvscen_drivers.gpu.trial import OPENING

_LOADING = Step("loading libcufile", 6.0, cufile.INSTALL)
_CUFILE = Step(
    "opening cuFile's driver",
    10.0,
    "look at cuFile's log (cufile.json says where it is), at `lsmod` for nvidia_fs, and at what `gdscheck -p` says",
)


@attrs.frozen
class Verdict:
    """Whether cuFile works here, and what it says of itself. If not, why and what to do."""

    facts: dict[str, str] = attrs.field(factory=dict)
    reason: str = ""
    remedy: str = ""


@functools.cache
def examine(device: int) -> Verdict:
    """Tries it in a child; once, for what it finds does not change."""
    reason = cufile.why_not()
    if reason is not None:
        return Verdict({}, *reason)
    found = walk([sys.executable, "-P", "-m", "kvscen_drivers.gds.trial", str(device)])
    return Verdict({}, found.reason, found.remedy) if isinstance(found, Failed) else Verdict(**found)


def answer(device: int) -> Verdict:
    say(_LOADING)
    try:
        api = cufile.bindings()
        say(OPENING)
        gpu = open_gpu(device)
        say(_CUFILE)
        opened = cufile.CuFile(api, cufile.Options())
    except DriverError as error:
        return Verdict({}, str(error), error.remedy)
    configuration = opened.configuration
    pool = ", ".join(f"{count} of {size >> 10} KiB" for size, count in configuration.pool)
    facts = {
        "GPU": str(gpu.card(device)),
        "CUDA": gpu.cuda,
        "cuFile": f"{opened.version}, cuda-bindings {cufile.bindings_version()}",
        "nvidia-fs": "loaded" if NVIDIA_FS.exists() else "not loaded: blocks go peer to peer or through host memory",
        "io_batchsize": str(configuration.batch or "unknown"),
        "max_io_queue_depth": str(configuration.queue or "unknown"),
        "bounce buffers in host memory": pool or "unknown",
        "counts by way": opened.stats or "yes",
    }
    return Verdict(facts)


if __name__ == "__main__":
    print(json.dumps(attrs.asdict(answer(int(sys.argv[1])))), flush=True)
    os._exit(0)  # nothing of cuFile's keeps the answer waiting
