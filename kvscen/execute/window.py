"""When the measured window of a trial is: after the warm-up, or when the load has become steady.

Both are iterators that `run_loops` resumes, in the worker's main thread, at the times that they yield.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import attrs

from kvscen.execute.loop import LaneLoop
from kvscen.measure.recorder import MAX_INTERVALS, Recorder, Window
from kvscen.measure.steady import Steadiness, judge_rounds
from kvscen.plan.point import Work
from kvscen.plugin.contract import Store

# What completed before the end of a round may be reaped a little later.
_GRACE_NS = 1_000_000
_POLL_NS = 2_000_000
# From the verdict to the window: every lane has its new recorder by then.
_LEAD_NS = 5_000_000


def fixed(window: Window, cpu_ns: list[int]) -> Iterator[int]:
    """The window is known. At its start, and its end if it has one, the CPU time of the process goes into `cpu_ns`."""
    yield window.start_ns
    cpu_ns.append(time.process_time_ns())
    if window.end_ns is not None:
        yield window.end_ns
        cpu_ns.append(time.process_time_ns())


@attrs.frozen
class Rounds:
    """`most` rounds of `length_ns` from `start_ns` on: as many as fit in the cap."""

    start_ns: int
    length_ns: int
    most: int

    @classmethod
    def of(cls, work: Work, start_ns: int) -> Rounds:
        """A round is as long as the window; a longer one where more than 300 would fit in the cap."""
        assert work.time_ns is not None and work.cap_ns is not None, "a checked sweep"
        length = max(work.time_ns, -(-work.cap_ns // MAX_INTERVALS))
        return cls(start_ns, length, work.cap_ns // length)

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.most * self.length_ns

    @property
    def window(self) -> Window:
        """For the recorders that record the rounds, each as one interval."""
        return Window(self.start_ns, self.end_ns)


@attrs.define
class UntilSteady:
    """Waits until the rounds of the load are steady, or the cap is reached, then begins the window.

    `before` are the lanes' recorders of the rounds, `during` those of the window; the latter share the object `window`,
    which is moved to its true place. Load runs on unbroken. `verdict` is there when the window has begun.
    """

    store: Store
    loops: Sequence[LaneLoop]
    rounds: Rounds
    before: Sequence[Recorder]
    during: Sequence[Recorder]
    window: Window
    open_loop: bool = False
    verdict: Steadiness = Steadiness(0)  # noqa: RUF009 - an attrs field, and frozen

    def attend(self, cpu_ns: list[int]) -> Iterator[int]:
        for loop in self.loops:
            loop.flush_every(self.rounds.start_ns + self.rounds.length_ns + _GRACE_NS, self.rounds.length_ns)
        owed: list[int] = []
        for number in range(1, self.rounds.most + 1):
            end = self.rounds.start_ns + number * self.rounds.length_ns
            yield end if self.store.virtual else end + _GRACE_NS
            while not all(loop.flushed_since(end) for loop in self.loops):
                yield self.store.clock() + _POLL_NS
            if self.open_loop:
                owed.append(sum(loop.owed for loop in self.loops))
            self.verdict = judge_rounds([recorder.sample for recorder in self.before], number, owed)
            if self.verdict.steady:
                break
        self._begin(end)
        yield from fixed(self.window, cpu_ns)

    def _begin(self, rounds_end_ns: int) -> None:
        assert self.window.end_ns is not None
        length = self.window.end_ns - self.window.start_ns
        # A virtual clock stands still meanwhile, and all that ended before the end of the round is recorded.
        start = rounds_end_ns if self.store.virtual else self.store.clock() + _LEAD_NS
        self.window.start_ns, self.window.end_ns = start, start + length
        for loop, recorder in zip(self.loops, self.during, strict=True):
            loop.measure(recorder, start + length)
