"""A trial in a child process, step by step: each step has its own limit of time, and what to do where it fails.

The child says which step it begins, `say(STEP)`, and at last prints its answer: an object on a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

import attrs


@attrs.frozen
class Step:
    """What is done, in words that "did not end" can follow; `remedy` where it fails."""

    name: str
    limit_s: float
    remedy: str


#: Before the child says anything: Python and what it imports, on a busy machine.
START = Step("starting Python", 8.0, "the machine is busy, or the disk with Python's packages is slow: try again")
#: All steps together end before a probe's own limit.
TOTAL_S = 18.0


@attrs.frozen
class Failed:
    """A child that gave no answer: why, and a remedy."""

    reason: str
    remedy: str


def say(step: Step) -> None:
    """In the child: this begins now."""
    print(json.dumps({"step": attrs.asdict(step)}), flush=True)


def walk(command: Sequence[str], start: Step = START, total_s: float = TOTAL_S) -> dict[str, Any] | Failed:
    """What the child answers."""
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(),
            start_new_session=True,
        )
        assert child.stdout is not None
        try:
            return _follow(child, child.stdout, complaints, start, time.monotonic() + total_s)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1.0)  # what hangs in the kernel is left to it
            child.stdout.close()


def _follow(
    child: subprocess.Popen[bytes], told: IO[bytes], complaints: IO[bytes], step: Step, end: float
) -> dict[str, Any] | Failed:
    began, rest, answer = time.monotonic(), b"", None
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ)
        while answer is None:
            left = min(began + step.limit_s, end) - time.monotonic()
            if left <= 0:
                took = time.monotonic() - began
                return Failed(f"{step.name} did not end within {min(step.limit_s, took):.3g} s", step.remedy)
            if not selector.select(left):
                continue
            piece = os.read(told.fileno(), 1 << 16)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                found = _object(line)
                if "step" in found:
                    step, began = Step(**found["step"]), time.monotonic()
                elif found:
                    answer = found
    if answer is not None:
        return answer
    try:
        status = child.wait(1.0)
    except subprocess.TimeoutExpired:
        return Failed(f"{step.name} ended without an answer", step.remedy)
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().splitlines()
    why = f": {said[-1]}" if said else ""
    return Failed(f"{step.name} ended the process that tried it (status {status}){why}", step.remedy)


def _object(line: bytes) -> dict[str, Any]:
    """What a line says; empty where a library printed it."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _environment() -> dict[str, str]:
    """The child finds what we find, wherever that was found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
