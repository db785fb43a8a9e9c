"""Which columns a sweep's table has, and what stands in their cells.

What is the same at every point is said once, above the table; what differs is a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from kvscen.report.numbers import NOTHING, Scale, plural, scale_for, show_one
from kvscen.report.run import PointReport, Report
from kvscen.results.aggregate import Aggregate, aggregate, has_count, ok, total, why_lacking
from kvscen.results.measures import MEASURES, OPERATIONS_ABOVE

_MAX_OWN = 4


@attrs.frozen
class TableColumn:
    """One column: two lines of header (what, unit) and a cell for each point. `rank` orders what is given up first
    where a table is too wide, highest first; 0 is never given up."""

    name: str
    unit: str
    cells: tuple[str, ...]
    rank: int = 0
    numeric: bool = True


@attrs.frozen
class SweepTable:
    """The content of a sweep's table. `shared` is what all points have in common. `notes` are numbered from 1;
    `losses[i]` and `warnings[i]` are the numbers of those that concern the trials and the figures of point i.
    `labels` name the points by their axes."""

    sweep: str
    shared: tuple[tuple[str, str], ...]
    columns: tuple[TableColumn, ...]
    notes: tuple[str, ...]
    losses: tuple[tuple[int, ...], ...]
    warnings: tuple[tuple[int, ...], ...]
    footnotes: tuple[str, ...]
    labels: tuple[str, ...]


#: The variables that every point has: header, what a point shows, and the last parts of paths whose axes say the same.
_VARIABLES: tuple[tuple[str, Callable[[PointReport], str], tuple[str, ...]], ...] = (
    ("model", lambda p: _text(p.row.get("model")), ("model",)),
    ("tier", lambda p: f"{p.row.get('tier')} ({p.row.get('driver')})", ()),
    ("op", lambda p: _text(None if p.row.get("traffic_mode") else p.row.get("op")), ("op",)),
    ("mode", lambda p: _text(p.row.get("traffic_mode")), ("mode",)),
    ("ranks", lambda p: _whole(p.row.get("processes") if p.row.get("traffic_mode") else None), ()),
    ("a pass moves", lambda p: show_one(p.row.get("traffic_bytes"), "B"), ()),
    ("block", lambda p: show_one(p.row.get("block_bytes"), "B"), ("block",)),
    ("batch", lambda p: _whole(p.row.get("batch")), ("batch",)),
    ("in flight", lambda p: _in_flight(p), ()),
    ("threads", lambda p: _whole(None if p.row.get("traffic_mode") else p.row.get("threads")), ("threads",)),
    ("processes", lambda p: _whole(None if p.row.get("traffic_mode") else p.row.get("processes")), ("processes",)),
)


#: What other columns are called.
_HEADERS = frozenset(
    {"path", "pages", "verified", "trials", "errors", "misses", "throughput", "CPU", "driver", "prefix"}
)


def tables_of(report: Report) -> list[SweepTable]:
    """One table for each sweep, in the order of the run."""
    sweeps: dict[str, list[PointReport]] = {}
    for point in report.points:
        sweeps.setdefault(point.sweep, []).append(point)
    return [_table(report, name, points) for name, points in sweeps.items()]


def _table(report: Report, sweep: str, points: Sequence[PointReport]) -> SweepTable:
    shared: list[tuple[str, str]] = []
    columns: list[TableColumn] = []

    def place(name: str, cells: Sequence[str], rank: int = 0, numeric: bool = True, partial: bool = False) -> None:
        """`partial`: a point that has nothing (for no trial was ok) does not make a difference."""
        known = [cell for cell in cells if cell != NOTHING]
        if len(set(known if partial else cells)) > 1:
            columns.append(TableColumn(name, "", tuple(cells), rank, numeric))
        elif known:
            shared.append((name, known[0]))

    headers = _axis_headers(points)
    said = {path.rpartition(".")[2] for path in headers}
    for path, header in headers.items():
        cells = [point.axes.get(path, NOTHING) for point in points]
        place(header, cells, numeric=all(_starts_with_digit(cell) for cell in cells))
    for name, show, same in _VARIABLES:
        cells = [show(point) for point in points]
        if name == "tier" and "tier" in headers:
            # The axis says which tier; what is worth a word is the driver, where it is the same for all.
            place("driver", [_text(point.row.get("driver")) for point in points], numeric=False)
            continue
        if said.isdisjoint(same):
            rank = {"in flight": 1, "batch": 4}.get(name, 0)
            place(name, cells, rank, numeric=name not in ("model", "tier", "op", "mode"), partial=name == "in flight")
    columns += _measured(report, points)
    own = list(dict.fromkeys(name for point in points for name in report.own_columns(point)))[:_MAX_OWN]
    for name in own:
        words = _own_words(name, points)
        if words is None:
            own_column = _own(report, name, points)
            if len(points) > 1 and len(set(own_column.cells)) == 1:
                shared.append((name, f"{own_column.cells[0]} {own_column.unit}".rstrip()))
            else:
                columns.append(own_column)
        elif name not in said:  # an axis of that name says it already
            place(name, words, rank=7, numeric=False, partial=True)
    place("path", [_facts(point, "path") for point in points], numeric=False, partial=True)
    place("pages", [_facts(point, "pages") for point in points], rank=6, numeric=False, partial=True)
    place("verified", _verified(points), rank=5, partial=True)
    columns.append(TableColumn("trials", "", tuple(point.status for point in points), numeric=False))
    numbers: dict[str, int] = {}
    warnings = tuple(_number(point.warnings, numbers) for point in points)
    losses = tuple(_number(point.losses, numbers) for point in points)
    return SweepTable(
        sweep=sweep,
        shared=tuple(shared),
        columns=tuple(columns),
        notes=tuple(numbers),
        losses=losses,
        warnings=warnings,
        footnotes=(*_ways(points), *_footnotes(points)),
        labels=tuple(report.labels[point.point_id] for point in points),
    )


def _axis_headers(points: Iterable[PointReport]) -> dict[str, str]:
    """Path of each axis -> header: its last part, where no other axis and no other column is called so."""
    paths = list(dict.fromkeys(path for point in points for path in point.axes))
    last = [path.rpartition(".")[2] for path in paths]
    return {
        path: name if last.count(name) == 1 and name not in _HEADERS else path
        for path, name in zip(paths, last, strict=True)
    }


def _measured(report: Report, points: Sequence[PointReport]) -> list[TableColumn]:
    columns = []
    if _any(points, "offered_per_s"):
        columns += [_median("offered", "offered_per_s", points), _median("achieved", "achieved_per_s", points)]
    columns.append(_with_spread("throughput", "throughput_bytes_per_s", points))
    if _any(points, "wire_throughput_bytes_per_s"):
        columns.append(_wire(points))
    if _any(points, "ceiling_ratio"):
        columns.append(_median("of ceiling", "ceiling_ratio", points))
    names = {"p50": "latency_p50_ns", "p99": "latency_p99_ns", "p99.9": "latency_p999_ns"}
    found = {name: [aggregate(point.trials, column) for point in points] for name, column in names.items()}
    scale = scale_for((one.median for cells in found.values() for one in cells), "ns")
    for name, cells in found.items():
        digits = scale.digits_for(one.median for one in cells)
        shown = tuple(digits.show(one.median) for one in cells)
        columns.append(TableColumn(name, scale.unit, shown, rank=2 if name == "p99.9" else 0))
    if _any(points, "request_rate_per_s"):
        columns.append(attrs.evolve(_median("requests", "request_rate_per_s", points), rank=4))
        for name, column in (
            ("request p50", "request_latency_p50_ns"),
            ("request p99", "request_latency_p99_ns"),
            ("wall", "wall_tokens_per_s"),
            ("storage", "storage_tokens_per_s"),
        ):
            if _any(points, column):
                columns.append(attrs.evolve(_median(name, column, points), rank=4))
    for name, column in (("TTFT p50", "ttft_p50_ns"), ("TTFT p99", "ttft_p99_ns")):
        if _any(points, column):
            columns.append(attrs.evolve(_median(name, column, points), rank=1))
    for name, column in (("hit rate", "hit_rate"), ("prefix", "prefix_hit_rate")):
        if _any(points, column):
            columns.append(_percent(name, column, points))
    for name in ("errors", "misses"):
        totals = [total(point.trials, name).value if has_count(point.trials, name) else None for point in points]
        if any(totals):
            columns.append(TableColumn(name, "", tuple(_whole(value) for value in totals)))
    columns.append(attrs.evolve(_median("CPU", "cpu_s_per_gib", points), rank=3))
    return columns


def _median(name: str, column: str, points: Sequence[PointReport]) -> TableColumn:
    medians = [aggregate(point.trials, column).median for point in points]
    scale = scale_for(medians, next(m.unit for m in MEASURES.values() if m.column == column))
    return TableColumn(name, scale.unit, tuple(scale.show(median) for median in medians))


def _wire(points: Sequence[PointReport]) -> TableColumn:
    """In the unit of the throughput beside it: the two are compared."""
    scale = scale_for((aggregate(point.trials, "throughput_bytes_per_s").median for point in points), "B/s")
    medians = [aggregate(point.trials, "wire_throughput_bytes_per_s").median for point in points]
    digits = scale.digits_for(medians)
    return TableColumn("wire", scale.unit, tuple(map(digits.show, medians)), rank=1)


def _percent(name: str, column: str, points: Sequence[PointReport]) -> TableColumn:
    rates = [aggregate(point.trials, column).median for point in points]
    percents = [None if rate is None else rate * 100 for rate in rates]
    scale = scale_for(percents, "1")
    return TableColumn(name, "%", tuple(map(scale.show, percents)))


def _with_spread(name: str, column: str, points: Sequence[PointReport]) -> TableColumn:
    found = [aggregate(point.trials, column) for point in points]
    scale = scale_for((one.median for one in found), next(m.unit for m in MEASURES.values() if m.column == column))
    spreads = [scale.show(one.spread) if one.spread is not None else "" for one in found]
    width = max(map(len, spreads))
    # A spread keeps its place where a neighbour has none, so that the medians stand below each other.
    cells = [_joined(scale, one, spread, width) for one, spread in zip(found, spreads, strict=True)]
    return TableColumn(name, scale.unit, tuple(cells))


def _joined(scale: Scale, one: Aggregate, spread: str, width: int) -> str:
    tail = f" ± {spread:>{width}}" if spread else " " * (width + 3 if width else 0)
    return scale.show(one.median) + tail


def _own_words(name: str, points: Sequence[PointReport]) -> list[str] | None:
    """The cells of a driver's own column of words; None where it holds numbers."""
    values = [[t.measures.get(name) for t in ok(point.trials)] for point in points]
    if not any(isinstance(value, str | bool) for row in values for value in row):
        return None
    words = [dict.fromkeys(_text(value) for value in row if value is not None) for row in values]
    return [", ".join(row) or NOTHING for row in words]


def _own(report: Report, name: str, points: Sequence[PointReport]) -> TableColumn:
    medians = [aggregate(point.trials, name).median for point in points]
    scale = scale_for(medians, report.unit(name))
    return TableColumn(name, scale.unit, tuple(scale.show(median) for median in medians), rank=7)


def _any(points: Iterable[PointReport], column: str) -> bool:
    return any(t.measures.get(column) is not None for point in points for t in point.trials)


def _in_flight(point: PointReport) -> str:
    used = {int(t.measures["depth_used"]) for t in ok(point.trials) if t.measures.get("depth_used") is not None}
    return ", ".join(f"{value:,}" for value in sorted(used)) or NOTHING


def _facts(point: PointReport, column: str) -> str:
    seen = dict.fromkeys(_text(t.measures[column]) for t in ok(point.trials) if t.measures.get(column) is not None)
    return ", ".join(seen) or NOTHING


def _verified(points: Sequence[PointReport]) -> list[str]:
    def cell(point: PointReport) -> str:
        sizes = [t.measures["verified_bytes"] for t in point.trials if t.measures.get("verified_bytes")]
        if sizes:
            return show_one(max(sizes), "B")
        return "off" if point.row.get("verify") == "off" else NOTHING

    return [cell(point) for point in points]


def _text(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _whole(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def _starts_with_digit(cell: str) -> bool:
    return cell == NOTHING or cell[:1].isdigit()


def _number(sentences: Iterable[str], numbers: dict[str, int]) -> tuple[int, ...]:
    """The numbers of sentences; one that is new gets the next."""
    return tuple(numbers.setdefault(sentence, len(numbers) + 1) for sentence in sentences)


def _ways(points: Sequence[PointReport]) -> list[str]:
    """Which way the bytes went and how that is known."""
    seen = dict.fromkeys(
        (str(t.measures["path"]), str(t.measures["path_evidence"]))
        for point in points
        for t in ok(point.trials)
        if t.measures.get("path") and t.measures.get("path_evidence")
    )
    return [f"path {path}: {evidence}" for path, evidence in seen]


def _footnotes(points: Sequence[PointReport]) -> tuple[str, ...]:
    """What the table as a whole needs said."""
    notes = []
    counts = {aggregate(point.trials, "throughput_bytes_per_s").n for point in points} - {0}
    if counts and max(counts) > 1:
        numbers = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        notes.append(f"medians of {numbers} trials; ± is their sample standard deviation")
    elif counts:
        notes.append("one trial: there is no spread to show")
    if _any(points, "wire_throughput_bytes_per_s"):
        notes.append("throughput: bytes delivered; wire: bytes that crossed the network for them, heads included")
    if _any(points, "ceiling_ratio"):
        tools = dict.fromkeys(t.measures["ceiling_tool"] for p in points for t in ok(p.trials))
        named = " or ".join(tool for tool in tools if tool)
        notes.append(f"of ceiling: throughput / that of {named}, beside each trial; the median over the trials")
    if _any(points, "latency_p50_ns"):
        told = any(point.row.get("speed") for point in points) or _any(points, "wall_tokens_per_s")
        opened = _any(points, "offered_per_s") or told
        start = "from when it was due" if opened else "from its submission"
        what = "transfer" if all(point.row.get("traffic_mode") for point in points) else "block"
        notes.append(f"p50, p99 and p99.9 are the latency of one {what}, {start} to its completion")
    if _any(points, "prefix_hit_rate"):
        notes.append(
            "hit rate: blocks found / blocks looked up; prefix: those before the first of their request that was not"
        )
    if _any(points, "ttft_p50_ns"):
        notes.append(
            "TTFT: time to first token, from when a request began or was due to the end of its last read, and the time "
            "that `prefill` takes for what was not found"
        )
    lacking: dict[str, str] = {}
    for name, label in (("latency_p50", "p50"), ("latency_p99", "p99"), ("latency_p999", "p99.9")):
        gaps = [
            point
            for point in points
            if ok(point.trials) and aggregate(point.trials, MEASURES[name].column).median is None
        ]
        if gaps and all(_few(point, MEASURES[name].least_operations) for point in gaps):
            lacking[label] = f"{MEASURES[name].least_operations:,}"
        elif gaps:
            notes.append(f"{label}: {why_lacking(gaps[0].trials, MEASURES[name])}")
    if lacking:
        needs = ", ".join(f"{label} needs {count}" for label, count in lacking.items())
        notes.append(
            f"{NOTHING} fewer than {OPERATIONS_ABOVE} operations of a trial lie above the percentile: "
            f"{needs} operations"
        )
    noisy = sum(
        1
        for point in points
        if (one := aggregate(point.trials, "throughput_bytes_per_s")).median
        and one.spread is not None
        and one.spread > 0.05 * one.median
    )
    if noisy:
        where = plural(noisy, "point")
        notes.append(f"the spread of throughput is over 5 % at {where}: more trials or a quieter machine would tell")
    return tuple(notes)


def _few(point: PointReport, needed: int) -> bool:
    return any((t.measures.get("operations") or 0) < needed for t in ok(point.trials))
