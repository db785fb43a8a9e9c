"""Trials of tools: drivers that measure whole points with a program of their own, several at once where they can.

A tool may measure a group of points together. The group runs at the turn of the first of them, and the rows of the
others wait for their turn: each trial still ends in a record of its own, in the order of the plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from kvscen.plan.point import Plan, Point
from kvscen.plugin.contract import Tool, ToolRow

# A tool keeps its deadline itself, and kills what it started; so much later it is given up.
_BEYOND_DEADLINE_S = 10


@attrs.define
class Tools:
    """`wanted` says whether a trial of a point is still to be measured."""

    plan: Plan
    folder: Path
    wanted: Callable[[Point, int], bool]
    clock_ns: Callable[[], int] = time.time_ns
    _families: dict[str, Sequence[Point]] = attrs.field(factory=dict, init=False)
    _ahead: dict[tuple[str, int], tuple[ToolRow, int]] = attrs.field(factory=dict, init=False)

    async def measure(self, tool: Tool, point: Point, trial: int) -> tuple[ToolRow, int]:
        """The point's row for this trial, and when its run began in ns since 1970."""
        ahead = self._ahead.pop((point.id, trial), None)
        if ahead is not None:
            return ahead
        group = self._group(tool, point, trial)
        started = self.clock_ns()
        folder = self.folder / "tools" / f"{point.id}-{trial}"
        folder.mkdir(parents=True, exist_ok=True)
        deadline_s = sum(_deadline_s(member) for member in group)
        with trio.move_on_after(deadline_s + _BEYOND_DEADLINE_S):
            rows = await tool.run(group, trial, folder, deadline_s)
            by_point = {row.point_id: row for row in reversed(rows)}
            for member in group:
                if member.id in by_point:
                    self._ahead[member.id, trial] = (by_point[member.id], started)
            nothing = ToolRow(point.id, "error", f"the driver `{tool.name}` returned no row for the point")
            return self._ahead.pop((point.id, trial), (nothing, started))
        late = f"the driver `{tool.name}` did not end {deadline_s + _BEYOND_DEADLINE_S:g} s after it was started"
        return ToolRow(point.id, "hang", late), started

    def _group(self, tool: Tool, point: Point, trial: int) -> Sequence[Point]:
        """The points that are measured with this one, itself among them."""
        if point.id not in self._families:
            alike = [p for p in self.plan.points if (p.sweep, p.tier.driver) == (point.sweep, point.tier.driver)]
            self._families |= {member.id: family for family in tool.group(alike) for member in family}
        left = [
            other
            for other in self._families.get(point.id, ())
            if trial <= other.trials and (other.id, trial) not in self._ahead and self.wanted(other, trial)
        ]
        # Without those that are done already, the others need not go together any more.
        return next((group for group in tool.group(left) if any(p.id == point.id for p in group)), [point])


def _deadline_s(point: Point) -> float:
    work = point.work
    return (work.warmup_ns + (work.time_ns or 0) + work.timeout_ns) / 1e9
