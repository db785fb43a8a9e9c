"""The points of a sweep that has too many to make each: by the rows of its axes, in arrays.

With the numbers of its axes sealed (kvscen.language.sealed) a sweep is searched as any other, and what is found are not
points but boxes: all points that differ only in numbers at which nobody looked. A point is then its place in the order
of the sweep and its box, 12 bytes. Everything else about it is made when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.language.diagnose import ScenarioError
from kvscen.language.resolve import OWN
from kvscen.language.sealed import Unchosen
from kvscen.plan.late import Axis, Flat
from kvscen.plan.reach import Reached, reach
from kvscen.plan.resolve import Resolver

Codes = npt.NDArray[np.int64]
T = TypeVar("T")

#: Boxes of one sweep, or pieces of them; so many take half a minute.
MOST_BOXES = 50_000
#: Points of one sweep; they take 120 MB.
MOST_PLANNED = 10_000_000


class TooMany(Exception):
    """The sweep has more points, or more different ones, than can be held."""


@attrs.frozen(eq=False)
class Box:
    """Points that are alike but for the rows of the `free` axes: all combinations of these rows. `choice` has the rows
    of the other axes that they ask for; `point` is what they reach, its numbers sealed."""

    id: str
    choice: Mapping[int, int]
    free: Mapping[int, npt.NDArray[np.int64]]
    point: Reached

    @property
    def size(self) -> int:
        return math.prod(len(rows) for rows in self.free.values())


@attrs.frozen(eq=False)
class Grid:
    """`codes` are the points in the order of the sweep, each axis a digit, the first one the highest; `box_of` is the
    box of each."""

    flat: Flat
    boxes: tuple[Box, ...]
    codes: Codes
    box_of: npt.NDArray[np.uint32]
    strides: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, axis: int) -> Codes:
        """The row of the axis at each point; 0 where a point does not ask for it."""
        return self.codes // self.strides[axis] % len(self.flat.axes[axis].rows)

    def choice(self, index: int) -> dict[int, int]:
        """The rows that make a point."""
        box = self.boxes[self.box_of[index]]
        code = int(self.codes[index])
        free = {axis: code // self.strides[axis] % len(self.flat.axes[axis].rows) for axis in box.free}
        return {**box.choice, **free}

    def taken(self, kept: npt.NDArray[np.bool_]) -> Grid:
        return attrs.evolve(self, codes=self.codes[kept], box_of=self.box_of[kept])


def sealable(flat: Flat) -> frozenset[int]:
    """The axes of numbers: those are many, and few look at them."""
    return frozenset(number for number, axis in enumerate(flat.axes) if _is_sealable(axis, flat))


def _is_sealable(axis: Axis, flat: Flat) -> bool:
    columns = range(len(axis.keys))
    kinds = [{type(row[column].python) for row in axis.rows} for column in columns]
    # A `let` is a part of values, and evaluating them would look at it.
    lets = any("." not in key and key not in OWN for key in axis.keys)
    return not lets and all(len(kind) == 1 and kind <= {int, Fraction} for kind in kinds)


def boxes_of(
    resolver: Resolver,
    identify: Callable[[Reached], str],
    failed: Callable[[Mapping[int, int], ScenarioError], bool],
) -> Iterator[Box]:
    """The boxes of a sweep. `failed` is told of a choice that has a problem, and says whether its points have it
    whatever their sealed numbers are. Raises TooMany."""
    late = resolver.late
    open_choices: list[dict[int, int]] = [{}]
    count = 0
    while open_choices:
        choice = open_choices.pop()
        try:
            point = reach(resolver, late, choice)
            box = Box(identify(point), choice, _free(late.flat, point, choice, late.sealable), point)
        except Unchosen as unchosen:
            open_choices.extend(_branches(late.flat, choice, unchosen.axis))
            continue
        except ScenarioError as error:
            sealed = next((axis for axis in sorted(late.sealable) if axis not in choice), None)
            if not failed(choice, error) and sealed is not None:
                open_choices.extend(_branches(late.flat, choice, sealed))
            continue
        count += 1
        if count > MOST_BOXES:
            raise TooMany
        yield box


def _branches(flat: Flat, choice: Mapping[int, int], axis: int) -> list[dict[int, int]]:
    return [{**choice, axis: row} for row in reversed(range(len(flat.axes[axis].rows)))]


def _free(
    flat: Flat, point: Reached, choice: Mapping[int, int], sealable: frozenset[int]
) -> dict[int, npt.NDArray[np.int64]]:
    """The sealed axes that a point asks for, each with the rows that make different points: the first ones of those
    that come out equal."""
    asked = {key for part in (point.own, *point.blocks) for found in part.found.values() for key in found.trace.used}
    free = {}
    for number in sorted({flat.axis_of[key][0] for key in asked if key in flat.axis_of}):
        if number in choice:
            continue
        axis = flat.axes[number]
        kept = [column for column, key in enumerate(axis.keys) if key in point.used]
        first: dict[tuple[Any, ...], int] = {}
        for row, readings in enumerate(axis.rows):
            first.setdefault(tuple(readings[column].python for column in kept), row)
        free[number] = np.fromiter(first.values(), np.int64)
    return free


def lay_out(flat: Flat, boxes: Sequence[Box]) -> Grid:
    """Every point of the boxes, each once. Raises TooMany."""
    sizes = [len(axis.rows) for axis in flat.axes]
    strides = tuple(math.prod(sizes[number + 1 :]) for number in range(len(sizes)))
    if math.prod(sizes) > 2**62:
        raise TooMany
    first: dict[str, int] = {}
    base: list[int] = []
    for number, box in enumerate(boxes):
        base.append(sum(strides[axis] * row for axis, row in box.choice.items()))
        # Boxes that come out equal are one: the first of them in the order of the sweep stays.
        before = first.setdefault(box.id, number)
        if base[number] < base[before]:
            first[box.id] = number
    kept = sorted(first.values())
    if sum(boxes[number].size for number in kept) > MOST_PLANNED:
        raise TooMany
    parts, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    for number in kept:
        codes = np.array([base[number]], np.int64)
        for axis, rows in boxes[number].free.items():
            codes = (codes[:, None] + rows[None, :] * strides[axis]).reshape(-1)
        parts.append(codes)
        owners.append(np.full(len(codes), number, np.uint32))
    codes, box_of = np.concatenate(parts), np.concatenate(owners)
    order = np.argsort(codes, kind="stable")
    return Grid(flat, tuple(boxes), codes[order], box_of[order], strides)


def decided(
    grid: Grid, resolver: Resolver, decide: Callable[[Reached, Mapping[int, int]], T]
) -> list[tuple[T, npt.NDArray[np.int64]]]:
    """What `decide` says of all points: pairs of an answer and the places of the points that it is for. It is asked
    once for all points that are alike in what it looks at. Raises TooMany, and what `decide` raises."""
    found: list[tuple[T, npt.NDArray[np.int64]]] = []
    late = resolver.late
    columns: dict[int, Codes] = {}
    count = 0
    by_box = np.argsort(grid.box_of, kind="stable")
    ends = np.cumsum(np.bincount(grid.box_of, minlength=len(grid.boxes)))
    for box, start, end in zip(grid.boxes, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        inside = by_box[start:end]
        if not len(inside):
            continue
        pending = [(dict(box.choice), inside)]
        while pending:
            choice, mine = pending.pop()
            count += 1
            if count > MOST_BOXES:
                raise TooMany
            try:
                found.append((decide(reach(resolver, late, choice), choice), mine))
            except Unchosen as unchosen:
                axis = unchosen.axis
                if axis not in columns:
                    columns[axis] = grid.rows(axis)
                own = columns[axis][mine]
                rows = box.free[axis]
                order = np.argsort(own, kind="stable")
                bounds = np.searchsorted(own[order], np.append(rows, rows[-1] + 1))
                for row, one, next_one in zip(rows.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                    if next_one > one:
                        pending.append(({**choice, axis: row}, mine[order[one:next_one]]))
    return found
