"""The order in which the trials of a plan run: drawn from the seed, the same on every machine.

A sweep that searches runs in stages. In a stage each search has one candidate, and which one comes next is decided when
all its trials have ended: a candidate is judged by all of them or not at all. The other axes, which are compared, run
interleaved; the candidates of one search do not, for which of them are needed is not known before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np

from kvscen.plan.point import Find, Plan, Point
from kvscen.plan.seek import Seen, next_candidate

#: (point, trial from 1) in the order of running.
Stage: TypeAlias = "list[tuple[Point, int]]"

#: What is known of a point of which all trials have ended, as a candidate of the search.
Judge: TypeAlias = Callable[[Find, Point], Seen]


def stages_in_order(plan: Plan, judge: Judge) -> Iterator[Stage]:
    """Stages, each to be run before the next one is asked for; without searches a sweep has one.

    Sweeps run one after the other; within a stage, `order = interleaved` runs a round of all its points, each round in
    another order, so that drift of the machine falls on all points alike. `order = sequential` runs one point after the
    other, and a search to its end.
    """
    for sweep, group in groupby(plan.points, key=lambda point: point.sweep):
        points = list(group)
        finds = [find for find in plan.finds if find.sweep == sweep]
        generator = np.random.PCG64(int(points[0].sweep_settings.seed))
        if points[0].sweep_settings.order == "sequential":
            for part, search in _one_by_one(points, finds):
                for stage in _stages(part, search, judge):
                    yield [(point, trial) for point in stage for trial in range(1, point.trials + 1)]
        else:
            for stage in _stages(points, finds, judge):
                yield list(_rounds(stage, generator))


def _stages(points: Sequence[Point], finds: Sequence[Find], judge: Judge) -> Iterator[list[Point]]:
    """The points of each stage: in the first one all that no search may spare."""
    by_id = {point.id: point for point in points}
    place = {point.id: number for number, point in enumerate(points)}
    searched = {candidate.point_id for find in finds for candidate in find.candidates}
    plain = [point for point in points if point.id not in searched]
    seen: list[dict[int, Seen]] = [{} for _ in finds]
    while True:
        asked = [
            (number, index, by_id[find.candidates[index].point_id])
            for number, find in enumerate(finds)
            if (index := next_candidate(find, seen[number])) is not None
        ]
        stage = sorted([*plain, *(point for _, _, point in asked)], key=lambda point: place[point.id])
        if not stage:
            return
        yield stage
        plain = []
        for number, index, point in asked:
            seen[number][index] = judge(finds[number], point)


def _one_by_one(points: Sequence[Point], finds: Sequence[Find]) -> Iterator[tuple[list[Point], list[Find]]]:
    """Each point or search by itself, with its points, in the order in which they begin."""
    of = {candidate.point_id: number for number, find in enumerate(finds) for candidate in find.candidates}
    begun: set[int] = set()
    for point in points:
        number = of.get(point.id)
        if number is None:
            yield [point], []
        elif number not in begun:
            begun.add(number)
            yield [other for other in points if of.get(other.id) == number], [finds[number]]


def _rounds(points: Sequence[Point], generator: np.random.PCG64) -> Iterator[tuple[Point, int]]:
    for trial in range(1, max(point.trials for point in points) + 1):
        for point in _shuffled(points, generator):
            if trial <= point.trials:
                yield point, trial


def _shuffled(points: Sequence[Point], generator: np.random.PCG64) -> list[Point]:
    """Fisher and Yates, on raw output: numpy's own shuffle may change between versions."""
    shuffled = list(points)
    for last in range(len(shuffled) - 1, 0, -1):
        other = int(generator.random_raw()) % (last + 1)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled
