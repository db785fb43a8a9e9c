"""One trial of traffic in one rank: its steps, each alone or all in a row, again and again until the time is over.

Every pass begins with a meeting of all ranks, at which rank 0 says whether there is another one. In a pass the senders
of a step compute, meet, and send; steps without a sender in common overlap, as they do between engines that know
nothing of each other.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

import attrs
import numpy as np

from kvscen.execute import messages
from kvscen.execute.ranks import RankPoint, Sender
from kvscen.execute.trial import facts, wait_until
from kvscen.measure.recorder import Recorder, Window
from kvscen.plugin.contract import WRITE

#: How long a computing rank sleeps at once: it helps transfers along in between.
_NAP_NS = 100_000
#: A window that has not begun yet.
_LATER = 2**62


@attrs.define
class _Steps:
    """`times` has (start, end, errors) of each measured pass of each step in which this rank sends."""

    point: RankPoint
    sender: Sender
    recorder: Recorder
    measuring: bool = False
    times: dict[int, list[tuple[int, int, int]]] = attrs.field(factory=dict)

    def run(self, passes: Sequence[tuple[int, ...]], share_ns: int | None, count: int) -> None:
        """Each of the passes again and again: for its share of the time, at least once, or `count` times."""
        point = self.point
        for steps in passes:
            until, done = time.perf_counter_ns() + (share_ns or 0), 0
            while True:
                more = done < count if share_ns is None else not done or time.perf_counter_ns() < until
                if not point.meeting.go_on(more, len(steps), point.idle):
                    break
                done += 1
                for place, number in enumerate(steps):
                    if point.process in self.point.senders[number]:
                        self._step(place, number)

    def _step(self, place: int, number: int) -> None:
        point, sender = self.point, self.sender
        step = point.traffic.steps[number]
        if point.traffic.mode == "sequence":
            self._compute(step.compute_ns)
        sender.ready(number)
        point.meeting.step(place, point.senders[number], point.idle)
        start = time.perf_counter_ns()
        sender.send()
        if self.measuring:
            self.times.setdefault(number, []).append((start, sender.ends.last_ns, sender.ends.errors))

    def _compute(self, time_ns: int) -> None:
        """What computes is elsewhere (a GPU): the rank's CPU is free meanwhile."""
        until = time.perf_counter_ns() + time_ns
        while (left := until - time.perf_counter_ns()) > 0:
            self.point.idle()
            self.point.meeting.beat.add(1)
            time.sleep(min(left, _NAP_NS) / 1e9)


def run_steps(point: RankPoint, start_ns: int) -> messages.Measured:
    """Load from `start_ns` of the monotonic clock on: the warm-up, then the measured passes. Every rank gets here,
    whether or not it sends."""
    work, store, traffic = point.work, point.store, point.traffic
    window = Window(_LATER, None)
    recorder = Recorder(window, 1, 1, False, kind=WRITE)
    steps = _Steps(point, point.sender(recorder), recorder)
    numbers = tuple(range(len(traffic.steps)))
    passes = [(number,) for number in numbers] if traffic.mode == "isolated" else [numbers]
    counters = dict(store.counters())
    gc.disable()
    try:
        late = wait_until(start_ns)
        if work.warmup_ns:
            steps.run(passes, work.warmup_ns // len(passes), 0)
        recorder.flush()
        point.meeting.all(point.idle)
        window.start_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        steps.measuring = True
        if work.operations is None:
            assert work.time_ns is not None
            steps.run(passes, work.time_ns // len(passes), 0)
        else:
            steps.run(passes, None, traffic.passes_for(work.operations))
        cpu_ns = time.process_time_ns() - cpu_ns
    finally:
        gc.enable()
    after = store.counters()
    sample = recorder.finish()
    sample.first_error = steps.sender.loop.first_error
    report = store.path()
    return messages.Measured(
        sample=sample,
        window_start_ns=window.start_ns,
        window_end_ns=sample.last_ns,
        cpu_ns=cpu_ns,
        late_ns=late,
        counters={name: value - counters.get(name, 0) for name, value in after.items()},
        edges=tuple(store.edges()),
        measures=dict(store.measures()),
        path=report.kind,
        path_evidence=report.evidence,
        facts=facts(()),
        logical_bytes=sample.moved_bytes,
        steps=tuple(_times(number, found) for number, found in sorted(steps.times.items())),
    )


def _times(step: int, found: Sequence[tuple[int, int, int]]) -> messages.StepTimes:
    start, end, errors = np.array(found, np.int64).T
    return messages.StepTimes(step, start, end, errors)
