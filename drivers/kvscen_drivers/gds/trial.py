"""What a probe's child does: open cuFile step by step, and say before each step which one it is.

`python -m kvscen_drivers.gds.trial DEVICE`. Where there is something amiss, opening cuFile may never return: then the
last line tells where it hangs.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

import attrs

from kvscen.plugin import DriverError
from kvscen_drivers.gds import cufile
from kvscen_drivers.gds.ways import NVIDIA_FS
from kvscen_drivers.gpu.cuda import open_gpu
from kvscen_drivers.gpu.trial import LIMIT_S, child_environment

_STEPS = ("loading libcufile", "opening the GPU", "opening cuFile's driver")


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
    return run([sys.executable, "-P", "-m", "kvscen_drivers.gds.trial", str(device)], LIMIT_S)


def run(command: list[str], limit_s: float) -> Verdict:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=child_environment(), timeout=limit_s
        )
    except subprocess.TimeoutExpired as late:
        steps = _lines(late.stdout or b"")
        last = steps[-1].get("step", _STEPS[0]) if steps else "starting Python"
        return Verdict(
            {}, f"{last} did not end within {limit_s:g} s", "look at `nvidia-smi`, nvidia-fs and cufile.json"
        )
    lines = _lines(done.stdout)
    if lines and "reason" in lines[-1]:
        return Verdict(**lines[-1])
    last = f" while {lines[-1]['step']}" if lines else ""
    told = done.stderr.decode(errors="replace").strip().splitlines()
    why = f": {told[-1]}" if told else ""
    return Verdict({}, f"the process that tries cuFile ended with status {done.returncode}{last}{why}", cufile.INSTALL)


def _lines(text: bytes) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # what the library prints
            continue
    return [line for line in found if isinstance(line, dict)]


def answer(device: int) -> Verdict:
    _say(_STEPS[0])
    try:
        api = cufile.bindings()
        _say(_STEPS[1])
        gpu = open_gpu(device)
        _say(_STEPS[2])
        opened = cufile.CuFile(api, cufile.Options())
    except DriverError as error:
        return Verdict({}, str(error), error.remedy)
    configuration = opened.configuration
    pool = ", ".join(f"{count} of {size >> 10} KiB" for size, count in configuration.pool)
    facts = {
        "GPU": str(gpu.card(device)),
        "CUDA": gpu.cuda,
        "cuFile": f"{opened.version}, cuda-bindings {cufile.bindings_version()}",
        "nvidia-fs": "loaded" if NVIDIA_FS.exists() else "not loaded",
        "io_batchsize": str(configuration.batch or "unknown"),
        "bounce buffers in host memory": pool or "unknown",
        "counts by way": opened.stats or "yes",
    }
    return Verdict(facts)


def _say(step: str) -> None:
    print(json.dumps({"step": step}), flush=True)


if __name__ == "__main__":
    print(json.dumps(attrs.asdict(answer(int(sys.argv[1])))), flush=True)
    os._exit(0)  # nothing of cuFile's keeps the answer waiting
