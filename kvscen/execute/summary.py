"""From what the workers of a trial measured to one row of numbers. Histograms are merged, never averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from kvscen.execute.lost import failed_moves, say_lost
from kvscen.execute.messages import Measured, Opened
from kvscen.execute.step_rows import step_rows
from kvscen.execute.talk_rows import found_rows, occupancy_rows, talk_measures, user_rows
from kvscen.language.cpus import parse_cpus
from kvscen.measure.histogram import Histogram
from kvscen.measure.recorder import Sample
from kvscen.plan.point import Point, Work
from kvscen.report.numbers import plural
from kvscen.results.measures import PERCENTILES
from kvscen.results.record import LatencySeries, Status

_GIB = 1 << 30
_EVERY = tuple(PERCENTILES)
_SOME = ("p50", "p99")
_FAR = ("p50", "p95", "p99", "p999", "p9999")


@attrs.frozen
class Summary:
    """What a trial comes to: its status and the rows of the tables, without run, point and trial."""

    status: Status
    reason: str
    measures: Mapping[str, int | float | str | bool | None]
    latency: tuple[LatencySeries, ...]
    timeline: tuple[Mapping[str, Any], ...]
    tiers: tuple[Mapping[str, Any], ...]
    steps: tuple[Mapping[str, Any], ...] = ()
    users: tuple[Mapping[str, Any], ...] = ()
    found: tuple[Mapping[str, Any], ...] = ()
    occupancy: tuple[Mapping[str, Any], ...] = ()


def summarise(point: Point, opened: Opened, parts: Sequence[Measured], verified_bytes: int | None) -> Summary:
    """One trial of a point from its workers' parts, one for each process. All share the window where time is
    measured; where operations are counted it runs from the first submission to the last completion of all.
    """
    total = Sample()
    for part in parts:
        total.merge(part.sample)
    # With fewer operations than workers some have nothing to do, and no window.
    busy = [part for part in parts if part.window_end_ns] or parts
    window_ns = max(part.window_end_ns for part in busy) - min(part.window_start_ns for part in busy)
    syncs = [part.sync_ns for part in parts if part.sync_ns is not None]
    sync_ns = max(syncs) if syncs else None
    status, reason = _judge(point, total, parts, window_ns)
    first = next((part for part in parts if part.sample.operations), parts[0])
    traffic = point.work.traffic
    measures: dict[str, int | float | str | bool | None] = {
        "path": first.path,
        "path_evidence": first.path_evidence,
        "pages": opened.pages,
        "depth_used": opened.in_flight,
        "alignment_bytes": opened.alignment_bytes,
        "stride_bytes": opened.stride_bytes if traffic is None else None,
        "verified_bytes": verified_bytes,
    }
    measures |= _counts(point, total, window_ns, sync_ns)
    measures |= _looked_up(parts[0], measures)
    looked_up = parts[0].looked_up
    talked = None if looked_up is None else looked_up.talked
    levels = [level.name for level in point.tier.levels] or [point.tier.name]
    if talked is not None:
        measures |= talk_measures(talked, window_ns + (sync_ns or 0))
    measures |= _steadiness(point.work, parts)
    measures |= _latencies(point, total)
    measures |= _cost(point, total, parts)
    if traffic is None:
        for part in parts:
            measures |= part.measures
    else:
        measures |= _of_ranks(parts)
        measures["note"] = _crowded(traffic.ranks, parts)
    return Summary(
        status=status,
        reason=reason,
        measures=measures,
        latency=_series(point, total),
        timeline=tuple(
            {"interval": number, **_interval(point, opened, row)}
            for number, row in enumerate(_timeline(point, total, parts, window_ns))
        ),
        tiers=tuple(row for part in parts for row in part.edges),
        steps=() if traffic is None else tuple(step_rows(traffic, parts)),
        users=() if talked is None else tuple(user_rows(talked)),
        found=() if talked is None else tuple(found_rows(talked, levels)),
        occupancy=()
        if looked_up is None
        else tuple(occupancy_rows(looked_up.occupancy, levels, parts[0].window_start_ns, opened.stride_bytes)),
    )


def _of_ranks(parts: Sequence[Measured]) -> dict[str, int | float | str | None]:
    """The driver's own measures of all ranks: whole numbers added up, others averaged, of texts the first."""
    found: dict[str, int | float | str | None] = {}
    for name in dict.fromkeys(name for part in parts for name in part.measures):
        known = [value for part in parts if (value := part.measures.get(name)) is not None]
        numbers = [value for value in known if isinstance(value, int | float)]
        if numbers:
            whole = all(isinstance(value, int) for value in numbers)
            found[name] = sum(numbers) if whole else sum(numbers) / len(numbers)
        else:
            found[name] = known[0] if known else None
    return found


def _crowded(ranks: int, parts: Sequence[Measured]) -> str | None:
    """A warning where the ranks have not a CPU each."""
    cpus = len({cpu for part in parts for cpu in parse_cpus(str(part.facts["cpus"]))})
    if ranks <= cpus:
        return None
    return f"{ranks} ranks on {plural(cpus, 'CPU')}: they wait for a CPU, and for each other, within these latencies"


def _judge(point: Point, total: Sample, parts: Sequence[Measured], window_ns: int) -> tuple[Status, str]:
    if total.load_errors:
        where = "" if total.errors == total.load_errors else " (warm-up and drain included)"
        noun = "operation" if total.load_errors == 1 else "operations"
        return "error", f"{total.load_errors} {noun} failed{where}; the first: {total.first_error}"
    lost = [each for part in parts for each in failed_moves(part.edges)]
    if lost:
        # Perhaps nobody asked for them again; but a tier that drops what it should move is fast for a bad reason.
        return "error", say_lost(lost)
    if window_ns <= 0 or not total.operations + total.misses:
        return "incomplete", "no operation completed inside the window: give it more time"
    expected = [part.expected_operations for part in parts if part.expected_operations is not None]
    if expected and total.operations + total.misses < sum(expected):
        return "incomplete", f"{total.operations + total.misses} of {sum(expected)} operations completed"
    return "ok", ""


def _counts(point: Point, total: Sample, window_ns: int, sync_ns: int | None) -> dict[str, int | float | None]:
    """`sync_ns` is the time to make durable what was written: it belongs to the time that the bytes took."""
    work = point.work
    seconds = (window_ns + (sync_ns or 0)) / 1e9
    logical = total.operations * work.block_bytes if work.traffic is None else total.moved_bytes
    lookups = total.reads + total.misses
    known = point.tier.levels or total.misses
    open_loop = work.rate_per_s is not None
    per_s = total.operations / seconds if seconds > 0 else None
    tokens = _tokens_per_block(point)
    return {
        "operations": total.operations,
        "reads": total.reads,
        "writes": total.writes,
        "errors": total.load_errors,
        "misses": total.misses,
        "lookups": lookups if known else None,
        "hits": total.reads if known else None,
        "hit_rate": total.reads / lookups if known and lookups else None,
        "logical_bytes": logical,
        "moved_bytes": total.moved_bytes,
        "wire_bytes": total.wire_bytes or None,
        "wire_throughput_bytes_per_s": total.wire_bytes / seconds if total.wire_bytes and seconds > 0 else None,
        "wire_ratio": total.moved_bytes / total.wire_bytes if total.wire_bytes else None,
        "load_bytes": total.load_bytes,
        "window_ns": window_ns,
        "sync_ns": sync_ns,
        "throughput_bytes_per_s": logical / seconds if seconds > 0 else None,
        "operations_per_s": per_s,
        "offered_per_s": float(work.rate_per_s) if work.rate_per_s is not None else None,
        "achieved_per_s": per_s if open_loop else None,
        "backlog": total.backlog if open_loop else None,
        "tokens_per_s": tokens * per_s if tokens and per_s is not None else None,
    }


def _looked_up(part: Measured, measures: Mapping[str, Any]) -> dict[str, int | float | str | None]:
    """Of requests that are known before, which have one worker: what was decided about them."""
    found = part.looked_up
    if found is None:
        return {}
    seconds = ((measures["window_ns"] or 0) + (measures["sync_ns"] or 0)) / 1e9
    return {
        "lookups": found.lookups,
        "hits": found.hits,
        "misses": found.lookups - found.hits,
        "hit_rate": found.hits / found.lookups if found.lookups else None,
        "prefix_hits": found.prefix_hits,
        "prefix_hit_rate": found.prefix_hits / found.lookups if found.lookups else None,
        "request_rate_per_s": found.requests / seconds if seconds > 0 else None,
        "sequence": found.sequence,
    }


def _steadiness(work: Work, parts: Sequence[Measured]) -> dict[str, int | float | bool | None]:
    """Of a trial that waited for a steady load; such a trial has one worker."""
    verdicts = [part.approach.verdict for part in parts if part.approach is not None]
    if not verdicts:
        return {}
    verdict = verdicts[0]
    return {
        "steady": verdict.steady,
        "rounds": verdict.rounds,
        "steady_range": verdict.range,
        "steady_slope": verdict.slope,
        "steady_drift": verdict.drift if work.rate_per_s is not None else None,
    }


def _timeline(
    point: Point, total: Sample, parts: Sequence[Measured], window_ns: int
) -> Iterator[Mapping[str, int | None]]:
    """The rounds before the window, where there are some, then the window."""
    for part in parts:
        if part.approach is not None:
            rows = part.approach.rounds.timeline()[: part.approach.verdict.rounds]
            yield from ({**row, "start_ns": (row["start_ns"] or 0) + part.approach.start_ns} for row in rows)
    for row in total.timeline():
        # The last interval may reach beyond the end of the window, where nothing is counted.
        left = window_ns - (row["start_ns"] or 0) if _timed(point.work) else total.interval_ns
        yield {**row, "duration_ns": min(total.interval_ns, left)}


def _timed(work: Work) -> bool:
    """Is the window a time that was asked for? Steps end when they end."""
    return work.time_ns is not None and work.traffic is None


def _tokens_per_block(point: Point) -> float | None:
    """Tokens whose KV one operation moves: a page, or a layer's share of it. None without a model."""
    if point.work.replay is not None:
        return float(point.work.replay.block_tokens)
    page = getattr(point.pattern.settings, "page_tokens", None)
    if point.model is None or page is None or point.work.traffic is not None:
        return None
    if getattr(point.pattern.settings, "access", "block") == "block":
        return float(page)
    return None


def _merged(total: Sample, unit: str, phase: str, operations: Sequence[str] = ("read", "write")) -> Histogram:
    merged = Histogram()
    for operation in operations:
        found = total.series.get((operation, unit, phase))
        if found is not None:
            merged.merge(found)
    return merged


def _percentiles(name: str, histogram: Histogram, which: Sequence[str]) -> dict[str, int | None]:
    return {f"{name}_{p}_ns": histogram.percentile(float(PERCENTILES[p])) for p in which}


def _latencies(point: Point, total: Sample) -> dict[str, int | float | None]:
    block = _merged(total, "block", "latency")
    values: dict[str, int | float | None] = {
        "latency_mean_ns": block.mean,
        "latency_min_ns": block.smallest if block.number else None,
        "latency_max_ns": block.largest if block.number else None,
    }
    values |= _percentiles("latency", block, _EVERY)
    values |= _percentiles("service", _merged(total, "block", "service"), _FAR)
    if point.work.op == "mixed":
        for operation in ("read", "write"):
            values |= _percentiles(f"{operation}_latency", _merged(total, "block", "latency", [operation]), _SOME)
    values |= _percentiles("batch_latency", _merged(total, "batch", "latency"), _SOME)
    values |= _percentiles("request_latency", _merged(total, "request", "latency"), _FAR)
    for phase in ("wait", "storage"):
        values |= _percentiles(f"request_{phase}", _merged(total, "request", phase), ("p50", "p95", "p99"))
    values |= _from_zero("order_wait", _merged(total, "request", "order"), ("p50", "p95", "p99"))
    values |= _percentiles("reread_latency", _merged(total, "step", "latency", ["reread"]), ("p50", "p95", "p99"))
    values |= _from_zero("load_latency", _merged(total, "request", "load"), _SOME)
    first_token = _merged(total, "request", "first token")
    values |= {"ttft_mean_ns": first_token.mean, **_percentiles("ttft", first_token, _SOME)}
    replay = point.work.replay
    if point.work.rate_per_s is not None or (replay is not None and (replay.speed is not None or replay.talk)):
        values |= _percentiles("delay", _merged(total, "block", "delay"), ("p99",))
    return values


def _from_zero(name: str, histogram: Histogram, which: Sequence[str]) -> dict[str, int | None]:
    """Of times that may be none at all, which a histogram counts as 1 ns."""
    found = _percentiles(name, histogram, which)
    return {name: 0 if value == 1 and not histogram.smallest else value for name, value in found.items()}


def _cost(point: Point, total: Sample, parts: Sequence[Measured]) -> dict[str, int | float | None]:
    cpu = [part.cpu_ns for part in parts]
    cpu_ns = None if any(value is None for value in cpu) else sum(value or 0 for value in cpu)
    values: dict[str, int | float | None] = {
        "cpu_ns": cpu_ns,
        "cpu_s_per_gib": cpu_ns / 1e9 / (total.moved_bytes / _GIB)
        if cpu_ns is not None and total.moved_bytes
        else None,
    }
    # Workers on one device read the same counters: the widest difference is the device's, a sum would count it twice.
    for name in ("device_read_bytes", "device_write_bytes"):
        seen = [part.counters[name] for part in parts if name in part.counters]
        values[name] = max(seen) if seen else None
    read, written = values["device_read_bytes"], values["device_write_bytes"]
    by_direction = {"read": read, "write": written}
    device = (
        (read + written if read is not None and written is not None else None)
        if point.work.op == "mixed"
        else (by_direction[point.work.op])
    )
    values["device_bytes"] = device
    values["device_ratio"] = device / total.load_bytes if device is not None and total.load_bytes else None
    return values


def _series(point: Point, total: Sample) -> tuple[LatencySeries, ...]:
    rows = []
    for (operation, unit, phase), histogram in sorted(total.series.items()):
        lower, upper, count = histogram.buckets()
        rows.append(LatencySeries(point.tier.name, operation, unit, phase, lower, upper, count))
    return tuple(rows)


def _interval(point: Point, opened: Opened, row: Mapping[str, int | None]) -> dict[str, int | None]:
    logical = row["moved_bytes"] or 0
    if point.work.traffic is None:
        logical = logical // opened.stride_bytes * point.work.block_bytes
    return {k: v for k, v in row.items() if k != "moved_bytes"} | {"logical_bytes": logical}
