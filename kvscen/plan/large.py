"""The points of a plan that has too many to be held: each is made when it is asked for.

What is said of such a plan without making all of it, its problems and its cost, is said of some points that are looked
at: every value of an axis is among them (of a long one 1,000), both ends of each axis together with those of the
others, and points spread evenly over the plan.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import attrs
import numpy as np

from kvscen.plan.grid import Grid

T = TypeVar("T")

#: Points of a plan that are held, each whole: the rest of the program goes through them many times.
MOST_HELD = 20_000
#: Points of a sweep that is run, or shown point by point. They are held whatever their number.
MOST_RUN = 100_000

#: Of a large plan so many are shown.
FIRST_POINTS = 20

_SPREAD = 1_000
_ROWS_OF_AN_AXIS = 1_000
_MOST_ENDS = 256
_ENDS_OF_BOXES = 200


@attrs.frozen(eq=False)
class Made(Sequence[T]):
    """`length` things, each made by its index when it is asked for."""

    length: int
    make: Callable[[int], T]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return tuple(self.make(each) for each in range(*index.indices(self.length)))
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return self.make(index % self.length)

    def __iter__(self) -> Iterator[T]:
        return map(self.make, range(self.length))


def joined(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """The parts one after the other: a tuple unless one of them is made."""
    if not any(isinstance(part, Made) for part in parts):
        return tuple(itertools.chain.from_iterable(parts))
    ends = list(itertools.accumulate(map(len, parts)))

    def make(index: int) -> T:
        number = bisect_right(ends, index)
        return parts[number][index - (ends[number - 1] if number else 0)]

    return Made(ends[-1], make)


def looked_at(grid: Grid) -> list[int]:
    """The places of the points that stand for all, in the order of the plan."""
    count = len(grid)
    found: list[Any] = [np.arange(min(count, FIRST_POINTS))]
    found.append(np.linspace(0, count - 1, min(count, _SPREAD)).astype(np.int64))
    extremes = []
    for number, axis in enumerate(grid.flat.axes):
        rows = grid.rows(number)
        present, first = np.unique(rows, return_index=True)
        spread = np.linspace(0, len(present) - 1, min(len(present), _ROWS_OF_AN_AXIS)).astype(np.int64)
        found.append(first[spread])
        if len(axis.rows) > 1:
            extremes.append((number, int(present[0]), int(present[-1])))
    codes: list[int] = [0]
    for number, low, high in extremes:
        codes = [code + row * grid.strides[number] for code in codes for row in (low, high)][:_MOST_ENDS]
    found.append(np.minimum(np.searchsorted(grid.codes, np.array(codes)), count - 1))
    _, first = np.unique(grid.box_of, return_index=True)
    found += [first[:_ENDS_OF_BOXES], first[-_ENDS_OF_BOXES:]]
    places: list[int] = np.unique(np.concatenate(found)).tolist()
    return places
