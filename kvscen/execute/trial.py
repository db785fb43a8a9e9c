"""One trial of an open point in one worker: its lanes, its recorders, its window."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvscen.execute import messages
from kvscen.execute.loop import Beat, LaneLoop, Quota, run_loops
from kvscen.execute.pinning import node_of
from kvscen.execute.window import Rounds, UntilSteady, fixed
from kvscen.language.cpus import show_cpus
from kvscen.measure.gauge import Gauge
from kvscen.measure.recorder import Recorder, Sample, Window
from kvscen.pattern.replay_source import ReplaySource
from kvscen.pattern.source import LaneSource
from kvscen.pattern.talking import Talked

if TYPE_CHECKING:
    from kvscen.execute.session import OpenPoint


def run_trial(point: OpenPoint, seed: int, start_ns: int, beat: Beat) -> messages.Measured:
    """Load from `start_ns` of the monotonic clock on (of a virtual clock: from now on), until the window has ended and
    nothing is in flight any more.
    """
    work, store = point.work, point.store
    start = store.clock() if store.virtual else start_ns
    loaded = start + work.warmup_ns
    window = Window(loaded, None if work.time_ns is None else loaded + work.time_ns)
    rounds = Rounds.of(work, loaded) if work.until == "steady" else None
    mine = None if work.operations is None else part(work.operations, work.processes, point.process)
    quota = None if mine is None else Quota(mine)
    # The load that is judged has no end of its own: the window's is set when it begins.
    stop = None if rounds else window.end_ns
    loops: list[LaneLoop] = []
    before: list[Recorder] = []
    during: list[Recorder] = []
    for lane in range(work.threads):
        source = _source(point, lane, seed)
        source.start(start)
        request = source.request_sizes if isinstance(source, ReplaySource) else work.request_blocks
        during.append(Recorder(window, work.batch, request, source.open_loop, kind=source.kind))
        if rounds:
            record = (rounds.window, work.batch, request, source.open_loop, rounds.length_ns)
            before.append(Recorder(*record, kind=source.kind))
        loops.append(
            LaneLoop(
                store,
                point.lanes[lane],
                source,
                point.measured_shape,
                beat,
                recorder=before[lane] if rounds else during[lane],
                quota=quota,
                counted_from_ns=loaded,
                stop_ns=stop,
                cpus=point.lane_cpus[lane],
            )
        )
    cpu_ns: list[int] = []
    paced = work.rate_per_s is not None
    until = UntilSteady(store, loops, rounds, before, during, window, open_loop=paced) if rounds else None
    counters = dict(store.counters())
    late, sync_ns = 0, None
    gc.disable()
    try:
        if not store.virtual:
            late = wait_until(start)
        run_loops(loops, store, until.attend(cpu_ns) if until else fixed(window, cpu_ns))
        cpu_ns.append(time.process_time_ns())
        if work.durability == "end":
            sync_ns = _sync(point, beat)
    finally:
        gc.enable()
    after = store.counters()
    sample = _merged(loops, during)
    looked_up = None
    if isinstance(source, ReplaySource):
        assert work.replay is not None
        looked_up = source.looked_up(store.clock())
        source.first_token.add_to(sample, work.replay.prefill_tokens_per_s)
        if looked_up.talked is not None:
            _count_requests(sample, looked_up.talked)
    ended = window.end_ns if window.end_ns is not None else sample.last_ns
    report = store.path()
    return messages.Measured(
        sample=sample,
        window_start_ns=window.start_ns if window.end_ns is not None else min(sample.first_ns, sample.last_ns),
        window_end_ns=ended,
        cpu_ns=None if store.virtual else cpu_ns[1] - cpu_ns[0],
        late_ns=late,
        counters={name: value - counters.get(name, 0) for name, value in after.items()},
        edges=tuple(store.edges()),
        measures=dict(store.measures()),
        path=report.kind,
        path_evidence=report.evidence,
        facts=facts(point.lane_cpus),
        logical_bytes=sample.operations * work.block_bytes,
        expected_operations=mine if looked_up is None else looked_up.operations,
        sync_ns=sync_ns,
        approach=_approach(until, sample) if until else None,
        looked_up=looked_up,
    )


def part(count: int, parts: int, index: int) -> int:
    """The index-th of `parts` nearly equal parts of a count."""
    return count * (index + 1) // parts - count * index // parts


def _source(point: OpenPoint, lane: int, seed: int) -> LaneSource | ReplaySource:
    work = point.work
    if work.replay is not None:
        gauge = Gauge(point.store.occupancy) if point.is_cache else None
        return point.replay(work.replay.users, work.replay.speed, gauge=gauge)
    number = point.process * work.threads + lane
    lanes_in_all = work.threads * work.processes
    return LaneSource(work, point.lane_keys[lane], point.stride_bytes, seed + number, lane=number, lanes=lanes_in_all)


def _merged(loops: list[LaneLoop], recorders: list[Recorder]) -> Sample:
    sample = Sample()
    for loop, recorder in zip(loops, recorders, strict=True):
        sample.merge(recorder.finish(loop.backlog))
        sample.first_error = sample.first_error or loop.first_error
    return sample


def _count_requests(sample: Sample, talked: Talked) -> None:
    """As groups of mixed operations they count with the reads."""
    for phase, values in (
        ("latency", talked.latency_ns),
        ("wait", talked.wait_ns),
        ("storage", talked.storage_ns),
        ("order", talked.order_ns),
    ):
        if len(values):
            sample.histogram(("read", "request", phase)).add(values)
    for action, values in talked.steps_ns.items():
        if len(values):
            sample.histogram((action, "step", "latency")).add(values)


def _approach(until: UntilSteady, sample: Sample) -> messages.Approach:
    """The rounds before the window. Their load is added to `sample`, whose totals are of the whole load."""
    rounds = Sample()
    for recorder in until.before:
        own = recorder.finish()
        rounds.merge_intervals(own)
        sample.load_bytes += own.load_bytes
        sample.load_errors += own.load_errors
    return messages.Approach(rounds, until.rounds.start_ns - until.window.start_ns, until.verdict)


def _sync(point: OpenPoint, beat: Beat) -> int:
    """Make durable what the load wrote; how long that took, in ns."""
    began = point.store.clock()
    with beat.syncing():
        point.store.settle()
    return point.store.clock() - began


def wait_until(start_ns: int) -> int:
    """Wait for the common start; returns by how much it was missed, in ns."""
    left = start_ns - time.perf_counter_ns()
    if left > 2_000_000:
        time.sleep((left - 2_000_000) / 1e9)
    while (now := time.perf_counter_ns()) < start_ns:
        pass
    return now - start_ns


def facts(lane_cpus: Sequence[frozenset[int]]) -> dict[str, str | int | None]:
    """What workers.parquet says of this process, whose lanes are pinned to these CPUs, if any."""
    cpus = frozenset().union(*lane_cpus) or os.sched_getaffinity(0)
    return {"host": socket.gethostname(), "cpus": show_cpus(sorted(cpus)), "numa_node": node_of(cpus)}
