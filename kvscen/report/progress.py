"""What a person sees while a run goes on, on stderr: which point, what is done with it, how much is left.

On a terminal one line that is redrawn; elsewhere one line for each finished trial. The time left is computed
from what the trials so far really took, beside what the scenario asks for, and says nothing before the first has
ended.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from kvscen.language.blocks import STEADY_ROUNDS
from kvscen.language.values import show_value
from kvscen.plan.point import Plan, Point
from kvscen.plan.seek import most_points
from kvscen.report.numbers import duration, show_one
from kvscen.results.record import TrialRecord


class RunProgress:
    """A watcher (kvscen.execute.conductor.Watcher). Use as a context manager."""

    def __init__(self, plan: Plan, done: Collection[tuple[str, int]], console: Console) -> None:
        self._console = console
        self._search_of = {c.point_id: n for n, find in enumerate(plan.finds) for c in find.candidates}
        # Of a search as many trials as it takes at most; which points they are of, it only finds out.
        self._left = [(point, trial) for point in most_points(plan) for trial in range(1, point.trials + 1)]
        for point_id, trial in done:
            self._take_off(point_id, trial)
        self._total = len(self._left)
        self._of = f"{'at most ' if plan.finds else ''}{self._total}"
        self._number = 0
        self._eta = Eta()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=self._total, left="")

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def phase(self, point: Point, trial: int, what: str) -> None:
        self._eta.phase(point, what)
        self._bar.update(self._task, description=f"{what}: {describe(point)}, trial {trial}")

    def finished(self, point: Point, record: TrialRecord, seconds: float) -> None:
        self._number += 1
        self._take_off(record.point_id, record.trial)
        self._eta.finished(point, seconds)
        left = self._eta.left_s(self._left)
        words = "" if left is None or not self._left else f"about {duration(left)} left"
        self._bar.update(self._task, completed=self._number, left=words)
        if record.status != "ok" or not self._console.is_terminal:
            rate = record.measures.get("throughput_bytes_per_s")
            figure = show_one(rate, "B/s") if record.status == "ok" and isinstance(rate, float) else record.reason
            self._console.print(
                f"[{self._number}/{self._of}] {describe(point)}, trial {record.trial}: {record.status}  {figure}"
                + (f"  ({words})" if words and not self._console.is_terminal else ""),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _take_off(self, point_id: str, trial: int) -> None:
        """One trial less: of this point, or of another candidate of its search."""
        search = self._search_of.get(point_id)
        alike = [i for i, (p, _) in enumerate(self._left) if p.id == point_id or self._is_of(search, p)]
        if alike:
            del self._left[min(alike, key=lambda i: (self._left[i][0].id != point_id, self._left[i][1] != trial))]

    def _is_of(self, search: int | None, point: Point) -> bool:
        return search is not None and self._search_of.get(point.id) == search


class Eta:
    """Seconds left, from what trials of a point cost beyond their asked-for time, and from what a new point's
    set-up costs.
    """

    def __init__(self) -> None:
        self._over: list[float] = []
        self._set_up: list[float] = []
        self._known: set[str] = set()
        self._began = time.monotonic()
        self._measuring_since: float | None = None

    def phase(self, point: Point, what: str) -> None:
        now = time.monotonic()
        if not what.startswith("measuring"):
            self._measuring_since = None
        elif self._measuring_since is None:  # "measuring fio" may come before or after it
            self._measuring_since = now

    def finished(self, point: Point, seconds: float) -> None:
        measured = seconds if self._measuring_since is None else time.monotonic() - self._measuring_since
        self._measuring_since = None
        if point.id not in self._known:
            self._known.add(point.id)
            self._set_up.append(max(0.0, seconds - measured))
        self._over.append(max(0.0, measured - asked_s(point)))

    def left_s(self, left: list[tuple[Point, int]]) -> float | None:
        if not self._over:
            return None
        over = sum(self._over) / len(self._over)
        new = {point.id for point, _ in left} - self._known
        set_up = sum(self._set_up) / len(self._set_up)
        return sum(asked_s(point) + over for point, _ in left) + len(new) * set_up


def asked_s(point: Point) -> float:
    """Seconds that the scenario asks for in one trial, its ceiling included; 0 where operations are counted or the
    clock is virtual."""
    if point.work.time_ns is None or point.tier.virtual:
        return 0.0
    seconds = (point.work.warmup_ns + point.work.time_ns) / 1e9
    # A load takes at least so long to be found steady; how much longer, the first trials tell.
    rounds = STEADY_ROUNDS * point.work.time_ns / 1e9 if point.work.until == "steady" else 0.0
    return rounds + (seconds if point.work.ceiling == "none" else 2 * seconds)


def describe(point: Point) -> str:
    """A point by its axes; without axes by its pattern and tier."""
    axes: dict[str, Any] = dict(point.axes)
    if not axes:
        return f"{point.pattern.name} on {point.tier.name}"
    return ", ".join(f"{path.rpartition('.')[2]} {show_value(value)}" for path, value in axes.items())
