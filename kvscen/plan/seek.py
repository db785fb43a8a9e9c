"""How a search goes: which candidate it measures next, and what the measured ones say. Pure functions of what is known,
so that a search that was cut off goes on from what it had.

`highest` and `lowest` halve the range: they take it that along the axis a condition that is lost once stays lost.
`saturation` goes up from the lowest candidate: it ends at the first one that neither of the next two beats by more than
its share. One could be a trial gone wrong, or a step of a machine with two sockets; two in a row seldom are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from kvscen.plan.point import Find, Plan, Point

Outcome: TypeAlias = Literal["found", "beyond", "none", "not_judged", "unfinished"]

#: So many candidates in a row that bring no more end a rise.
IN_A_ROW = 2


@attrs.frozen
class Seen:
    """What is known of a candidate that was measured: whether it keeps the conditions of its search, and the value of
    its measure; None where it has none."""

    keeps: bool
    value: float | int | None


@attrs.frozen
class Answer:
    """What a search came to. `found` is the candidate (its index) that is the answer, `next` its neighbour on the other
    side of the border.

    `beyond`: every candidate keeps the conditions, or the measure rises to the end of the range; then `found` is the
    last of which that is known. `none`: no candidate keeps them, or none has the measure; then `next` is the nearest.
    """

    outcome: Outcome
    found: int | None = None
    next: int | None = None


def at_most(find: Find) -> int:
    """How many candidates the search measures at most."""
    count = len(find.candidates)
    # ceil(log2(count + 1)): one of count + 1 places is the border.
    return count if find.kind == "saturation" else count.bit_length()


def next_candidate(find: Find, seen: Mapping[int, Seen]) -> int | None:
    """The candidate that has to be measured next; None: the search is at its end."""
    step = _step(find, seen)
    return step if isinstance(step, int) else None


def answer(find: Find, seen: Mapping[int, Seen]) -> Answer:
    """What the search came to, as far as it is known."""
    step = _step(find, seen)
    return Answer("unfinished") if isinstance(step, int) else step


def strays(find: Find, seen: Mapping[int, Seen]) -> tuple[int, ...]:
    """Candidates that were measured on the way to another answer and speak against this one: easier ones that do not
    keep the conditions, harder ones that do. A search meets none of its own; a run that is resumed may leave some."""
    found = answer(find, seen)
    if find.kind == "saturation" or found.outcome == "unfinished":
        return ()
    sign = 1 if find.kind == "highest" else -1
    kept, lost = (None if index is None else sign * index for index in (found.found, found.next))
    return tuple(
        index
        for index, one in sorted(seen.items())
        if (kept is not None and not one.keeps and sign * index < kept)
        or (lost is not None and one.keeps and sign * index > lost)
    )


def _step(find: Find, seen: Mapping[int, Seen]) -> int | Answer:
    return _rise(find, seen) if find.kind == "saturation" else _halve(find, seen)


def _halve(find: Find, seen: Mapping[int, Seen]) -> int | Answer:
    count = len(find.candidates)

    def place(rank: int) -> int:
        """Ranks go from what is easiest to keep to what is hardest."""
        return rank if find.kind == "highest" else count - 1 - rank

    kept, lost = -1, count
    while lost - kept > 1:
        middle = (kept + lost) // 2
        known = seen.get(place(middle))
        if known is None:
            return place(middle)
        if known.keeps:
            kept = middle
        else:
            lost = middle
    if kept < 0:
        return Answer("none", next=place(0))
    if lost == count:
        return Answer("beyond", found=place(kept))
    return Answer("found", place(kept), place(lost))


def _rise(find: Find, seen: Mapping[int, Seen]) -> int | Answer:
    values: list[float | int | None] = []
    for index in range(len(find.candidates)):
        if index not in seen:
            return index
        values.append(seen[index].value)
        top = len(values) - 1 - IN_A_ROW
        if top >= 0 and values[top] is not None and not _beaten(find, values, top):
            return Answer("found", top, top + 1)
        if values == [None] * IN_A_ROW:
            return Answer("none", next=0)
    open_ends = (i for i, value in enumerate(values) if value is not None and not _beaten(find, values, i))
    last = next(open_ends, None)
    return Answer("none", next=0) if last is None else Answer("beyond", found=last)


def _beaten(find: Find, values: list[float | int | None], index: int) -> bool:
    """Does one of the next candidates bring more than the share? One without a value does not."""
    own = values[index]
    assert own is not None
    limit = own * float(1 + find.share)
    return any(value is not None and value > limit for value in values[index + 1 : index + 1 + IN_A_ROW])


def most_points(plan: Plan, weigh: Callable[[Point], Any] = lambda point: 0) -> tuple[Point, ...]:
    """The points that a run measures at most, in the order of the plan. Of each search they are its weightiest
    candidates, as many as it takes at most: which ones it will take is known only when it runs."""
    by_id = {point.id: point for point in plan.points}
    spared: set[str] = set()
    for find in plan.finds:
        candidates = [by_id[candidate.point_id] for candidate in find.candidates]
        candidates.sort(key=weigh, reverse=True)
        spared.update(point.id for point in candidates[at_most(find) :])
    return tuple(point for point in plan.points if point.id not in spared)
