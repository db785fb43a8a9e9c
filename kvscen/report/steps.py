"""The steps of a matrix, as a reader decides by them: each step alone beside the same step in the sequence."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.report.numbers import NOTHING, Scale, plural, scale_for, show_one
from kvscen.report.run import PointReport, Report
from kvscen.results.aggregate import ok

#: Steps that a table lists; steps.parquet has all of them.
_LISTED = 40
_ISOLATED, _SEQUENCE = "isolated", "sequence"


@attrs.frozen
class StepFigures:
    """One step of one point: what is known of it, and the medians of its figures over the trials that are ok."""

    known: Mapping[str, Any]
    figures: Mapping[str, float | None]


@attrs.frozen
class _Each:
    """Values that are shown with a unit each."""

    of: str
    unit: str = ""

    def show(self, value: float | None) -> str:
        return show_one(value, self.of)


def step_figures(report: Report, point: PointReport) -> tuple[StepFigures, ...]:
    """The steps of a point, in their order; none where it has no trial that is ok."""
    good = {trial.trial for trial in ok(point.trials)}
    rows: dict[int, list[Mapping[str, Any]]] = {}
    for row in _rows(report, point):
        if row["trial"] in good:
            rows.setdefault(row["step"], []).append(row)
    return tuple(_figures(own) for _, own in sorted(rows.items()))


def _rows(report: Report, point: PointReport) -> Sequence[Mapping[str, Any]]:
    return report.details.get("steps", {}).get(point.point_id, ())


_KNOWN = ("step", "bytes", "transfers", "senders", "receivers", "compute_ns")


def _figures(rows: Sequence[Mapping[str, Any]]) -> StepFigures:
    names = [name for name in rows[0] if name.endswith(("_ns", "_per_s")) and name not in _KNOWN]
    medians = {name: _median([row[name] for row in rows]) for name in ("passes", *names)}
    return StepFigures({name: rows[0][name] for name in _KNOWN}, medians)


def _median(values: Sequence[float | None]) -> float | None:
    """None where a trial lacks the value: it would be the median of other trials than its neighbours'."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) else None


def steps_tables(report: Report, sweep: str) -> Iterator[RenderableType]:
    """For each point in a sequence its steps, with the isolated point beside it that has the same axes; then the
    isolated ones that are beside none."""
    points = [p for p in report.points if p.sweep == sweep and p.row.get("traffic_mode")]
    alone = [p for p in points if p.row["traffic_mode"] == _ISOLATED]
    used = set()
    for point in points:
        if point.row["traffic_mode"] != _SEQUENCE:
            continue
        beside = next((other for other in alone if _same_but_for_mode(other, point)), None)
        used.add(None if beside is None else beside.point_id)
        yield from _table(report, beside, point)
    for point in alone:
        if point.point_id not in used:
            yield from _table(report, point, None)


def _axes(point: PointReport) -> dict[str, str]:
    return {path: value for path, value in point.axes.items() if path.rpartition(".")[2] != "mode"}


def _same_but_for_mode(isolated: PointReport, sequence: PointReport) -> bool:
    # An axis such as the compute time has no meaning for the isolated one.
    return _axes(isolated).items() <= _axes(sequence).items()


def _table(report: Report, isolated: PointReport | None, sequence: PointReport | None) -> Iterator[RenderableType]:
    point = sequence or isolated
    assert point is not None
    one, row = (() if p is None else step_figures(report, p) for p in (isolated, sequence))
    shown = row or one
    if not shown:
        return
    label = ", ".join(f"{path} = {value}" for path, value in _axes(point).items())
    counts = [f"{_passes(own)} {name}" for name, own in ((_ISOLATED, one), ("in sequence", row)) if own]
    yield Text()
    head = Text.assemble(("steps", "bold"), f"  {label}" if label else "", (f"  (passes: {', '.join(counts)})", "dim"))
    yield Padding(head, (0, 0, 0, 2))
    yield Padding(_grid(one, row), (0, 0, 0, 2))
    if len(shown) > _LISTED:
        yield Padding(Text(f"{plural(len(shown) - _LISTED, 'more step')}: steps.parquet has all", "dim"), (0, 0, 0, 2))


def _passes(steps: Sequence[StepFigures]) -> str:
    counts = sorted({round(step.figures["passes"] or 0) for step in steps})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def _grid(one: Sequence[StepFigures], row: Sequence[StepFigures]) -> Table:
    """`one`: isolated, `row`: in the sequence; either may be empty."""
    shown = (row or one)[:_LISTED]
    time = _common_scale([s.figures[n] for s in (*one, *row) for n in ("latency_median_ns", "latency_max_ns")], "ns")
    rate = _common_scale([s.figures[n] for s in shown for n in ("throughput_bytes_per_s", "sender_bytes_per_s")], "B/s")
    columns: dict[str, list[str]] = {
        "step": [str(step.known["step"]) for step in shown],
        "bytes": [show_one(step.known["bytes"], "B") for step in shown],
        "senders": [f"{step.known['senders']:,}" for step in shown],
    }
    if any(step.known["compute_ns"] for step in shown):
        columns["compute"] = [show_one(step.known["compute_ns"], "ns") for step in shown]
    if one:
        columns[f"isolated\n{time.unit}"] = _cells(one, "latency_median_ns", time)
    if row:
        columns[f"in sequence\n{time.unit}"] = _cells(row, "latency_median_ns", time)
    if one and row:
        columns["sequence /\nisolated"] = [_ratio(own, alone) for own, alone in zip(row, one, strict=False)]
    columns[f"longest\n{time.unit}"] = _cells(shown, "latency_max_ns", time)
    columns[f"all ranks\n{rate.unit}"] = _cells(shown, "throughput_bytes_per_s", rate)
    columns[f"a sender\n{rate.unit}"] = _cells(shown, "sender_bytes_per_s", rate)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        title, _, unit = name.partition("\n")
        head = Text.assemble(title, (f"\n{unit}", "dim")) if unit else Text(title)
        table.add_column(head, justify="right", no_wrap=True)
    for cells in zip(*(values[: len(shown)] for values in columns.values()), strict=True):
        table.add_row(*cells)
    return table


def _common_scale(values: Sequence[float | None], unit: str) -> Scale | _Each:
    """One unit for all, unless they are too far apart for that."""
    known = [value for value in values if value]
    return _Each(unit) if known and max(known) >= 100 * min(known) else scale_for(values, unit)


def _cells(steps: Sequence[StepFigures], name: str, scale: Scale | _Each) -> list[str]:
    return [scale.show(step.figures[name]) for step in steps[:_LISTED]]


def _ratio(own: StepFigures, alone: StepFigures) -> str:
    above, below = own.figures["latency_median_ns"], alone.figures["latency_median_ns"]
    return NOTHING if above is None or not below else f"{above / below:.2f}"


def steps_notes(report: Report, sweep: str) -> tuple[str, ...]:
    """What a table of steps needs said."""
    modes = {p.row.get("traffic_mode") for p in report.points if p.sweep == sweep and _rows(report, p)}
    modes.discard(None)
    if not modes:
        return ()
    last = "in sequence" if _SEQUENCE in modes else "isolated"
    return (
        "a step's latency runs from its first sender's start to the end of its last transfer: the median over the "
        f"passes of a trial, then over the trials; longest, all ranks and a sender are those {last}",
        "all ranks: the step's bytes / its latency; a sender: the mean over senders of what one sends / its own time",
    )
