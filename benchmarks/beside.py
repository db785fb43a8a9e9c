"""A point of kvscen beside a plain loop that does the same, in one process: for benchmarks/gpu.py and gds.py.

The two alternate (A B B A), and a ratio is of neighbours.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plan.point import Tier, Work
from kvscen.plugin import Unavailable

T = TypeVar("T")


class Worker:
    """A point in a worker, which is this process. What does not work ends the process with a sentence."""

    def __init__(self, tier: Tier, target: str, work: Work) -> None:
        self.session = Session()
        self._open = messages.Open("p", tier, work, 0, {tier.driver: target}, 1)
        self.opened: messages.Opened = self.ask(self._open, messages.Opened)
        self.ask(messages.Prepare("p"), messages.Prepared)
        self._seed = 0

    def ask(self, request: messages.Request, expected: type) -> Any:
        reply = self.session.handle(request)
        if not isinstance(reply, expected):
            sys.exit(f"{request}: {reply}")
        return reply

    def verify(self) -> int:
        """Bytes that were written, read back and compared."""
        answer = self.ask(messages.Verify("p", 7), messages.Verified)
        if answer.mismatch:
            sys.exit(f"corrupt: {answer.mismatch}")
        return int(answer.verified_bytes)

    def measure(self) -> messages.Measured:
        self._seed += 1
        self.ask(messages.Arm("p", self._seed), messages.Armed)
        measured: messages.Measured = self.ask(messages.Go(time.perf_counter_ns() + 2_000_000), messages.Measured)
        if measured.sample.load_errors:
            sys.exit(f"errors: {measured.sample.first_error}")
        return measured

    def rate(self) -> float:
        """Bytes a second."""
        measured = self.measure()
        return float(measured.sample.moved_bytes / (measured.window_end_ns - measured.window_start_ns) * 1e9)

    def close(self) -> None:
        self.session.close()


def here(attempt: Callable[[], T]) -> T:
    """What it gives; where it cannot be had on this machine, the end of the process with status 69 (EX_UNAVAILABLE)."""
    try:
        return attempt()
    except Unavailable as error:
        print(f"{error}; {error.remedy}")
        sys.exit(os.EX_UNAVAILABLE)


@attrs.frozen
class Compared:
    """Rates in bytes a second, neighbours at the same place."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def cost_ns(self, block_bytes: int) -> float:
        """How much longer kvscen takes for an operation."""
        times = [block_bytes * 1e9 * (1 / a - 1 / b) for a, b in zip(self.ours, self.theirs, strict=True)]
        return statistics.median(times)

    def row(self) -> dict[str, Any]:
        return {
            "kvscen_bytes_per_s": self.ours,
            "plain_bytes_per_s": self.theirs,
            "ratios": self.ratios,
            "ratio": self.ratio,
        }

    def show(self) -> str:
        ours, theirs = (statistics.median(rates) / (1 << 30) for rates in (self.ours, self.theirs))
        span = f"{min(self.ratios):.3f} to {max(self.ratios):.3f}"
        return f"{ours:>9.2f}{theirs:>9.2f}       {self.ratio:>8.3f}{span:>18}"


HEAD = f"{'kvscen':>9}{'plain':>9}  GiB/s{'ratio':>8}{'range':>18}"


def beside(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Compared:
    theirs()
    found = Compared([], [])
    for _ in range(rounds):
        before = theirs()
        found.ours.extend((ours(), ours()))
        found.theirs.extend((before, theirs()))
    return found
