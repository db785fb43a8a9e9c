"""The order in which the trials of a plan run: drawn from the seed, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from kvscen.plan.point import Plan, Point


def trials_in_order(plan: Plan) -> Iterator[tuple[Point, int]]:
    """(point, trial from 1) in the order of running. Sweeps run one after the other; within one, `order = interleaved`
    runs a round of all points, each round in another order, so that drift of the machine falls on all points alike.
    """
    for _, group in groupby(plan.points, key=lambda point: point.sweep):
        points = list(group)
        if points[0].sweep_settings.order == "sequential":
            yield from ((point, trial) for point in points for trial in range(1, point.trials + 1))
            continue
        generator = np.random.PCG64(int(points[0].sweep_settings.seed))
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
