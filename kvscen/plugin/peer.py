"""The ceiling beside a figure: another program that does a trial's work on the same data.

A store says with `Store.ceiling` how that program is called for a load; the conductor runs it before or after the
trial and puts what it measured into the trial's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from kvscen.plan.point import Work


@attrs.frozen
class Load:
    """The load of one trial, all workers together, as another program is to repeat it.

    `lanes` are the lanes of all workers: (first key, number of keys). `depth` operations are in flight in each, of
    `stride_bytes` (padding included), for `window_ns` after the warm-up of `work`. `pages` is what the buffers of the
    trial are made of ("huge", "small", "mixed").
    """

    work: Work
    lanes: tuple[tuple[int, int], ...]
    depth: int
    stride_bytes: int
    pages: str
    window_ns: int


@attrs.frozen
class PeerFigures:
    """What the other program measured. `tool` names it with its version and how it was run; `latency_ns` maps "p50",
    "p99" and "p999" to a latency of one operation, where enough operations lie above it. `cpu_s_per_s`, its CPU time in
    a second of its load, is the core's to fill in: it watches the process.
    """

    tool: str
    operations_per_s: float
    latency_ns: Mapping[str, int]
    cpu_s_per_s: float | None = None


@attrs.frozen
class Peer:
    """A program that is ready to be run: subclass it for the program's output.

    `env` is added to the environment. `duration_s` is how long it means to run; it is killed a while after that.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    duration_s: float

    #: What it is called, and one sentence for where it is not installed.
    name: ClassVar[str]
    missing: ClassVar[str]

    def observe(self, pid: int) -> str:
        """Asked several times while it runs: what can be seen of it only then. `read` gets the last answer that is not
        empty."""
        return ""

    def read(self, output: str, observed: str) -> PeerFigures:
        """What it measured, from its stdout. Raises DriverError."""
        raise NotImplementedError
