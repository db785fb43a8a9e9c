"""What a plan says of traffic from rank to rank: its steps with their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kvscen.language.schema import Duration
from kvscen.plan.point import Point
from kvscen.plan.traffic import Step, Traffic
from kvscen.report.numbers import NOTHING, show_one

#: Steps that a table lists; of more the first ones, and the last.
_LISTED = 12


def traffic_json(traffic: Traffic) -> dict[str, Any]:
    """`flows_sha256` is over all flows in their order: equal plans have equal ones."""
    flows = "\n".join(f"{i} {j} {n}" for step in traffic.steps for i, j, n in (*step.flows, (-1, -1, -1)))
    return {
        "ranks": traffic.ranks,
        "flows_sha256": hashlib.sha256(flows.encode()).hexdigest(),
        "steps": [
            {
                "bytes": step.nbytes,
                "transfers": len(step.flows),
                "senders": len(step.senders),
                "receivers": len(step.receivers),
                "compute_ns": step.compute_ns,
            }
            for step in traffic.steps
        ],
    }


def traffic_columns(points: Sequence[Point]) -> dict[str, list[str]]:
    found = [point.work.traffic for point in points]
    return {
        "mode": [NOTHING if t is None else t.mode for t in found],
        "ranks": [NOTHING if t is None else f"{t.ranks:,}" for t in found],
        "steps": [NOTHING if t is None else f"{len(t.steps):,}" for t in found],
        "transfers": [NOTHING if t is None else f"{t.transfers:,}" for t in found],
        "a pass moves": [show_one(None if t is None else t.nbytes, "B") for t in found],
    }


def steps_tables(points: Sequence[Point]) -> Iterator[RenderableType]:
    """The steps of each traffic that the points have: those that differ in their mode alone share a table."""
    groups: dict[object, list[Point]] = {}
    for point in points:
        traffic = point.work.traffic
        if traffic is not None:
            key = traffic.ranks, tuple(step.flows for step in traffic.steps)
            groups.setdefault(key, []).append(point)
    for own in groups.values():
        traffics = [point.work.traffic for point in own if point.work.traffic is not None]
        # Isolated points have no compute times: a sequence among them says what they are.
        traffic = max(traffics, key=lambda each: each.compute_ns)
        computes = len({tuple(s.compute_ns for s in t.steps) for t in traffics if t.mode == "sequence"}) == 1
        names = ", ".join(point.id for point in own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
        yield Text()
        yield Padding(Text.assemble(("steps of ", "dim"), names), (0, 0, 0, 2))
        yield Padding(_table(traffic, computes), (0, 0, 0, 2))


def _table(traffic: Traffic, computes: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    heads = ("step", "bytes", "senders", "receivers", "transfers", *(("compute before it",) if computes else ()))
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    steps = list(enumerate(traffic.steps))
    listed = steps if len(steps) <= _LISTED else steps[: _LISTED - 1]
    for number, step in listed:
        table.add_row(*_cells(str(number), step, computes))
    if len(listed) < len(steps):
        table.add_row("...")
        table.add_row(*_cells(str(steps[-1][0]), steps[-1][1], computes))
    moved, transfers = show_one(traffic.nbytes, "B"), f"{traffic.transfers:,}"
    table.add_row("all", moved, "", "", transfers, *((_time(traffic.compute_ns),) if computes else ()), style="dim")
    return table


def _cells(number: str, step: Step, computes: bool) -> tuple[str, ...]:
    counts = (len(step.senders), len(step.receivers), len(step.flows))
    cells = (number, show_one(step.nbytes, "B"), *(f"{count:,}" for count in counts))
    return (*cells, _time(step.compute_ns)) if computes else cells


def _time(time_ns: int) -> str:
    return Duration().show(time_ns) if not time_ns else show_one(time_ns, "ns")
