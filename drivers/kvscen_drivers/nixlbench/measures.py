"""From the table of a run to the rows of its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from kvscen.plugin import Measure, Point, ToolRow
from kvscen_drivers.nixlbench.invocation import Iterations, depth
from kvscen_drivers.nixlbench.running import Ran, evidence
from kvscen_drivers.nixlbench.said import crash, is_crash
from kvscen_drivers.nixlbench.settings import storage
from kvscen_drivers.nixlbench.table import Row
from kvscen_drivers.program import ending

Measures: TypeAlias = "dict[str, int | float | str | None]"

_PHASES = {
    "prep": "making the transfer request, once in a thread unless `recreate_xfer`",
    "post": "posting a batch (the whole I/O where the backend does it in the call, as buffered AIO does)",
    "transfer": "the rest of a batch, from the return of the post to its completion",
}

MEASURES = (
    Measure("num_iter", "int64", "", "batches that nixlbench measured, of all threads together"),
    Measure("warmup_iter", "int64", "", "batches before them"),
    Measure(
        "time_per_block_ns",
        "float64",
        "ns",
        "what nixlbench calls average latency: measured time / (batches of a thread x batch); no latency of a block",
    ),
    *(
        Measure(f"{phase}_{statistic}_ns", "float64", "ns", f"{words} of {what}")
        for phase, what in _PHASES.items()
        for statistic, words in (("mean", "mean"), ("p99", "99th percentile"))
    ),
    Measure("own_bytes_per_s", "float64", "B/s", "throughput of the process that prints, where several are paired"),
    Measure("network_share", "float64", "1", "nixlbench's network utilization: of 50 GB/s for each pair"),
    Measure("exit_status", "int64", "", "how nixlbench ended; below 0: the signal that killed it"),
)


def rows(points: Sequence[Point], ran: Ran, counts: Iterations | None, deadline_s: float) -> list[ToolRow]:
    """A row for each point. A figure that was printed stays, whatever came after it, and says so. `counts` None: the
    run was a pilot, which measures nothing."""
    table = {(row.block_bytes, row.batch): row for row in ran.table.rows} if counts is not None else {}
    found = [(point, table.get((point.work.block_bytes, point.work.batch))) for point in points]
    complete = all(row is not None for _, row in found)
    made = []
    for point, row in found:
        if row is None or counts is None:
            made.append(_missing(point, ran, deadline_s))
            continue
        measures = _measures(point, row, counts) | {"exit_status": ran.status, "note": _note(ran, complete)}
        last = ran.table.rows[-1] is row
        if ran.problem is not None and last and (ran.signaled or (complete and not is_crash(ran.status or 0))):
            # Asked to stop, nixlbench computes the row from iterations that it did not do.
            made.append(ToolRow(point.id, "error", f"nixlbench {ran.problem.sentence}", measures))
        else:
            made.append(ToolRow(point.id, "ok", "", measures))
    return made


def _missing(point: Point, ran: Ran, deadline_s: float) -> ToolRow:
    """A point that has no row in the table."""
    after = f" after {len(ran.table.rows)} rows" if ran.table.rows else ""
    if ran.status is None:
        reason = f"nixlbench was killed after {deadline_s:g} s, its deadline (warm-up, time and timeout){after}: no row"
        return ToolRow(point.id, "hang", reason + " for this point came")
    if ran.problem is not None:
        return ToolRow(point.id, ran.problem.status, f"nixlbench {ran.problem.sentence}{after}")
    if ran.table.garbled:
        return ToolRow(point.id, "error", f"nixlbench's output cannot be used: {ran.table.garbled}")
    if not ran.table.began:
        return ToolRow(point.id, "error", "nixlbench ended with status 0 and printed no table")
    reason = f"nixlbench ended with status 0{after}, and its table has no row for {point.work.block_bytes} bytes"
    return ToolRow(point.id, "incomplete", f"{reason} x {point.work.batch}")


def _note(ran: Ran, complete: bool) -> str | None:
    if ran.status == 0:
        return None
    if ran.status is None:
        how = "was killed at its deadline"
    elif is_crash(ran.status):
        how = f"ended with {crash(ran.status)}"
    else:
        how = ending(ran.status)
    return f"nixlbench {how} after " + ("a complete table" if complete else f"{len(ran.table.rows)} rows")


def _measures(point: Point, row: Row, counts: Iterations) -> Measures:
    """The columns of one row. Bytes and operations are of all initiators, as the throughput is."""
    settings: Any = point.tier.settings
    batches = counts.measured(row.block_bytes)
    operations = batches * row.batch * initiators(settings, row)
    logical = operations * row.block_bytes
    read = point.work.op == "read"
    path, known_by = evidence(settings)
    window_ns = row.time_per_block_ns * row.batch * batches / point.work.threads
    if row.bytes_per_s:
        window_ns = logical / row.bytes_per_s * 1e9
    return {
        "operations": operations,
        "reads": operations if read else 0,
        "writes": 0 if read else operations,
        "errors": 0,  # one that fails ends the program before the row is printed
        "logical_bytes": logical,
        "throughput_bytes_per_s": row.bytes_per_s,
        "operations_per_s": row.bytes_per_s / row.block_bytes,
        "window_ns": round(window_ns),
        "depth_used": row.batch * depth(point.work),
        "path": path,
        "path_evidence": known_by,
        "num_iter": batches,
        "warmup_iter": counts.warmup(row.block_bytes),
        "time_per_block_ns": row.time_per_block_ns,
        "prep_mean_ns": row.prep_mean_ns,
        "prep_p99_ns": row.prep_p99_ns,
        "post_mean_ns": row.post_mean_ns,
        "post_p99_ns": row.post_p99_ns,
        "transfer_mean_ns": row.transfer_mean_ns,
        "transfer_p99_ns": row.transfer_p99_ns,
        "own_bytes_per_s": row.own_bytes_per_s if row.network_share is not None else None,
        "network_share": row.network_share,
    }


def initiators(settings: Any, row: Row) -> int:
    """How many initiators' bytes are in the throughput, as nixlbench adds them up: all where it prints the aggregate,
    the devices of a process where it has several, else the one that prints."""
    devices = int(settings.num_initiator_dev)
    if row.network_share is not None:
        return devices
    paired = settings.scheme == "pairwise"
    return devices if paired and (settings.mode == "MG" or storage(settings)) else 1
