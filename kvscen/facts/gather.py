"""All facts at once, within a few seconds, whatever hangs or breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from kvscen.facts.cpu import Cpu, cpu
from kvscen.facts.files import Files
from kvscen.facts.host import Card, Host, gpus, host, network
from kvscen.facts.limits import Limits, io_uring_error, limits
from kvscen.facts.memory import Memory, memory
from kvscen.facts.sample import Sample, sample
from kvscen.facts.software import Python, python
from kvscen.facts.storage import FileSystem, Look, file_system, held_bytes, look
from kvscen.facts.wear import Wear, wear_of

#: How long to wait for all that may hang, together.
PATIENCE_S = 5.0

T = TypeVar("T")


@attrs.frozen
class Facts:
    """What the machine says. A part that could not be read is empty, and `problems` says why, by the name of the
    field; `unreadable` says why of each path that is missing in `file_systems`."""

    host: Host
    cpu: Cpu
    memory: Memory
    limits: Limits
    python: Python
    network: tuple[Card, ...]
    idle: Sample
    file_systems: Mapping[str, FileSystem]
    gpus: Any
    problems: Mapping[str, str]
    unreadable: Mapping[str, str]


@attrs.frozen
class Senses:
    """What is asked of the machine beside its files. Tests bring their own."""

    look: Callable[[str], Look] = look
    wear: Callable[[str], Wear] = wear_of
    held: Callable[[str], int] = held_bytes
    io_uring: Callable[[], int] = io_uring_error
    gpus: Callable[[], Any] = gpus
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    python: Callable[[], Python] = python


def gather(
    paths: Sequence[str] = (),
    files: Files | None = None,
    senses: Senses | None = None,
    counted: Collection[str] = (),
) -> Facts:
    """The facts; `paths` are the folders of tiers (they need not exist yet), and in those that are `counted` too it is
    counted what they hold. Takes at most about PATIENCE_S. Never raises."""
    files, senses = files or Files(), senses or Senses()
    paths = tuple(dict.fromkeys(paths))
    problems: dict[str, str] = {}

    def tried(name: str, ask: Callable[[], T], empty: T) -> T:
        try:
            return ask()
        except Exception as error:
            # Whatever a machine's /proc holds, a run must not fail for the description of its machine.
            problems[name] = _why(error)
            return empty

    # First, while this process does nothing else.
    idle = tried("idle", lambda: sample(files, senses.wait, senses.clock), Sample())
    slow: dict[str, Callable[[], Any]] = {"gpus": senses.gpus}
    for path in paths:
        held = senses.held if path in counted else None
        slow[f"path:{path}"] = partial(file_system, path, files, senses.look, senses.wear, held)
    answers, failures = _ask_all(slow, PATIENCE_S)
    problems |= {name: text for name, text in failures.items() if name == "gpus"}
    return Facts(
        host=tried("host", lambda: host(files), Host()),
        cpu=tried("cpu", lambda: cpu(files), Cpu()),
        memory=tried("memory", lambda: memory(files), Memory()),
        limits=tried("limits", lambda: limits(files, senses.io_uring), Limits()),
        python=tried("python", senses.python, Python()),
        network=tried("network", lambda: network(files), ()),
        idle=idle,
        file_systems={path: answers[f"path:{path}"] for path in paths if f"path:{path}" in answers},
        gpus=answers.get("gpus", []),
        problems=problems,
        unreadable={path: failures[f"path:{path}"] for path in paths if f"path:{path}" in failures},
    )


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _ask_all(questions: Mapping[str, Callable[[], Any]], patience_s: float) -> tuple[dict[str, Any], dict[str, str]]:
    """The answers that came in time, and why others did not. Each question has a daemon thread, so that one that hangs
    holds up nothing."""
    answers: dict[str, Any] = {}
    failures: dict[str, str] = {}

    def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            answers[name] = question()
        except Exception as error:  # as above: what a device or a program does is no reason to fail
            failures[name] = _why(error)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in questions.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    found, failed = dict(answers), dict(failures)
    silent = f"did not answer within {patience_s:g} s"
    return found, failed | {name: silent for name in questions if name not in found and name not in failed}
