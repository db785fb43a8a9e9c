"""Command lines of nixlbench for the points of a plan, without running it: `kvscen plan --as nixlbench`.

A `nixlbench` tier is said as it is run; a `nixl` tier as the same backend, a `posix` tier as nixlbench's POSIX backend,
with a note for each thing that nixlbench has no word for. Every flag is one of the table of flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from kvscen.plugin import CommandLine, Point, Severity, Tier, show_bytes
from kvscen_drivers.nixlbench.counterpart import PROGRAM, lost, settings_of
from kvscen_drivers.nixlbench.flags import FLAGS
from kvscen_drivers.nixlbench.invocation import Iterations, argv, flags, grouped, iterations, process_count
from kvscen_drivers.nixlbench.limits import findings
from kvscen_drivers.nixlbench.settings import processes
from kvscen_drivers.nixlbench.verbatim import NO_MATRIX, NO_REPLAY


def command_lines(points: Sequence[Point]) -> list[CommandLine]:
    """A command line for each group of points that nixlbench measures in one run, in the order of the plan."""
    own, lines = [], []
    for point in points:
        settings = settings_of(point)
        note = _unlike(point, settings)
        if note:
            lines.append(CommandLine((point,), (), notes=(note,)))
        else:
            own.append(attrs.evolve(point, tier=Tier(point.tier.name, PROGRAM, settings)))
    original = {point.id: point for point in points}
    lines += [_line(group, [original[point.id] for point in group]) for group in grouped(own)]
    return sorted(lines, key=lambda line: line.points[0].index)


def _unlike(point: Point, settings: Any) -> str:
    """Why nixlbench has no command line for a point; empty where it has one."""
    if point.work.traffic is not None:
        return NO_MATRIX
    if point.work.replay is not None:
        return NO_REPLAY
    if settings is None:
        return f"nixlbench has nothing like the driver `{point.tier.driver}` ({point.tier.name})"
    return "nixlbench reads or writes: it has nothing like `op = mixed`" if point.work.op == "mixed" else ""


def _line(group: Sequence[Point], originals: Sequence[Point]) -> CommandLine:
    settings: Any = group[0].tier.settings
    counts = iterations(settings, group[0].work) or Iterations.rounded(
        int(FLAGS["num_iter"].default), int(FLAGS["warmup_iter"].default), 16, group[0].work.threads
    )
    notes = dict.fromkeys(
        note
        for point, original in zip(group, originals, strict=True)
        for note in (*lost(original), *_of_work(point, counts))
    )
    program = settings.program
    return CommandLine(
        tuple(originals),
        tuple(argv(program, flags(group, counts), settings.flags or ())),
        process_count(settings),
        tuple(settings.env or ()),
        tuple(notes) + tuple(_of_run(settings)),
    )


def _of_work(point: Point, counts: Iterations) -> Iterator[str]:
    """What of the point's work nixlbench does otherwise, and what it will refuse."""
    work = point.work
    for finding in findings(point.tier, work):
        if finding.code == "KVS331":
            yield f"it will fail: {finding.message}; {finding.help}"
        else:
            yield finding.message + (f" ({finding.help})" if finding.severity is Severity.WARNING else "")
    if work.processes > 1:
        yield f"`processes = {work.processes}`: nixlbench has one process here"
    if work.time_ns is not None and point.tier.settings.num_iter is None:
        moved = counts.measured(work.block_bytes) * work.batch * work.block_bytes
        yield (
            "the scenario measures for a time and nixlbench counts: its own "
            f"{counts.num_iter} iterations move {show_bytes(moved)} (`kvscen run` finds the count)"
        )
    elif work.operations is not None:
        done = counts.measured(work.block_bytes) * work.batch
        if done != work.operations:
            yield f"nixlbench moves whole batches of all threads: {done} operations for {work.operations}"


def _of_run(settings: Any) -> Iterator[str]:
    """What `kvscen run` does anew for each run, and a user has to do by hand."""
    if settings.storage:
        if settings.filepath is not None:
            yield "files of other runs are used again: give each run a new, existing folder in `--filepath`"
        return
    count = processes(settings)
    meet = "--asio_port" if settings.runtime_type == "ASIO" else "--benchmark_group"
    yield f"start it {count} times, the initiators first, with a `{meet}` that no other run has"
