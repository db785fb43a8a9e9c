"""The search itself, as a pure function: for every truth table the right answer, in as few candidates as promised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.language.values import Quantity
from kvscen.plan.point import Candidate, Find
from kvscen.plan.seek import Answer, Seen, answer, at_most, most_points, next_candidate, strays
from tests.results.support import make_plan, make_point


def a_find(kind: Literal["highest", "lowest", "saturation"], count: int, share: Fraction = Fraction(1, 20)) -> Find:
    candidates = tuple(Candidate(f"p{number}", Quantity.of(number)) for number in range(count))
    return Find("s", kind, "a.rate", candidates, "find ...", share=share)


def run(find: Find, truth: Callable[[int], Seen]) -> dict[int, Seen]:
    """Go on until the search is at its end."""
    seen: dict[int, Seen] = {}
    while (index := next_candidate(find, seen)) is not None:
        assert index not in seen, "a candidate is measured once"
        assert answer(find, seen).outcome == "unfinished"
        seen[index] = truth(index)
    return seen


# ---- highest and lowest

SIZES = [*range(1, 40), 63, 64, 65, 100, 1000]


@pytest.mark.parametrize("kind", ["highest", "lowest"])
@pytest.mark.parametrize("count", SIZES)
def test_every_monotone_truth_table(kind: Literal["highest", "lowest"], count: int) -> None:
    find = a_find(kind, count)
    most = math.ceil(math.log2(count + 1))
    assert at_most(find) == most
    for kept in range(count + 1):
        keeps = [number < kept for number in range(count)]
        if kind == "lowest":
            keeps.reverse()
        seen = run(find, lambda index, keeps=keeps: Seen(keeps[index], None))  # type: ignore[misc]
        assert len(seen) <= most
        good = [index for index, value in enumerate(keeps) if value]
        edge = (max(good) if kind == "highest" else min(good)) if good else None
        found = answer(find, seen)
        assert strays(find, seen) == ()
        if edge is None:
            assert found == Answer("none", None, 0 if kind == "highest" else count - 1)
        elif len(good) == count:
            assert found == Answer("beyond", edge, None)
        else:
            # The answer and its neighbour across the border were both measured, and stand side by side.
            assert found == Answer("found", edge, edge + 1 if kind == "highest" else edge - 1)
            assert {found.found, found.next} <= set(seen)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70), st.sampled_from(["highest", "lowest"]))
def test_of_any_truth_table_a_border_is_found(keeps: list[bool], kind: Literal["highest", "lowest"]) -> None:
    """Where the condition is kept, lost and kept again, the answer is one of the borders, and not more is measured."""
    find = a_find(kind, len(keeps))
    seen = run(find, lambda index: Seen(keeps[index], None))
    assert len(seen) <= at_most(find)
    found = answer(find, seen)
    if found.found is not None:
        assert keeps[found.found]
    if found.next is not None:
        assert not keeps[found.next]
    if found.outcome == "found":
        assert found.found is not None and found.next is not None
        assert found.next - found.found == (1 if kind == "highest" else -1)


def test_what_an_earlier_answer_left_may_speak_against_this_one() -> None:
    """A candidate that failed was measured again and keeps it now: what was measured below in between is known."""
    find = a_find("highest", 7)
    seen = {3: Seen(False, None), 1: Seen(True, None), 2: Seen(False, None)}
    assert answer(find, seen) == Answer("found", 1, 2)
    seen = {**seen, 3: Seen(True, None)}
    assert next_candidate(find, seen) == 5
    seen |= {5: Seen(False, None), 4: Seen(True, None)}
    assert answer(find, seen) == Answer("found", 4, 5)
    assert strays(find, seen) == (2,)
    mirrored = {6 - index: one for index, one in seen.items()}
    assert strays(a_find("lowest", 7), mirrored) == (4,)


# ---- saturation


def rise(values: Sequence[float | None], share: Fraction = Fraction(1, 20)) -> tuple[Answer, int]:
    find = a_find("saturation", len(values), share)
    assert at_most(find) == len(values)
    seen = run(find, lambda index: Seen(values[index] is not None, values[index]))
    assert list(seen) == list(range(len(seen))), "it goes up, one after the other"
    return answer(find, seen), len(seen)


@pytest.mark.parametrize(
    ("values", "expected", "measured"),
    [
        ([1, 2, 4, 4, 4, 4], Answer("found", 2, 3), 5),
        ([5, 5, 5, 9], Answer("found", 0, 1), 3),
        ([1, 2, 2, 4, 4, 4], Answer("found", 3, 4), 6),  # once is a step, not the end
        ([100, 104, 106, 107, 107], Answer("found", 1, 2), 4),  # 106 beats 100 by more than 5 %
        ([100, 105, 105], Answer("found", 0, 1), 3),  # by 5 %, not by more
        ([1, 2, 4, 8], Answer("beyond", 3), 4),
        ([1, 2, 4, 4], Answer("beyond", 2), 4),  # one confirms nothing
        ([7], Answer("beyond", 0), 1),
        ([9, 5, 3], Answer("found", 0, 1), 3),  # falls
        ([1, None, 4, 4, 4], Answer("found", 2, 3), 5),
        ([1, 2, None, None, 9], Answer("found", 1, 2), 4),
        ([None, None, 9], Answer("none", None, 0), 2),
        ([None], Answer("none", None, 0), 1),
        ([None, 3, 3, 3], Answer("found", 1, 2), 4),
        ([0, 0, 0], Answer("found", 0, 1), 3),
    ],
)
def test_known_rises(values: list[float | None], expected: Answer, measured: int) -> None:
    assert rise(values) == (expected, measured)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=30), st.fractions(0, 1))
def test_any_rise(values: list[float | None], share: Fraction) -> None:
    """The knee is the first value that neither of the next two beats by more than the share, and nothing beyond those
    two is measured."""

    def flat(index: int) -> bool:
        own = values[index]
        above = [value for value in values[index + 1 : index + 3] if value is not None]
        return own is not None and all(value <= own * float(1 + share) for value in above)

    found, measured = rise(values, share)
    knees = [index for index in range(len(values) - 2) if flat(index)]
    if values[:2] == [None, None] or all(value is None for value in values):
        assert (found.outcome, measured) == ("none", min(2, len(values)))
    elif knees:
        assert found == Answer("found", knees[0], knees[0] + 1) and measured == knees[0] + 3
    else:
        assert found.outcome == "beyond" and measured == len(values) and found.found is not None
        assert flat(found.found)


# ---- what a run takes at most


def test_the_costliest_candidates_are_reckoned_with() -> None:
    points = [make_point(number) for number in range(8)]
    candidates = tuple(Candidate(point.id, Quantity.of(point.index)) for point in points[:7])
    plan = attrs.evolve(make_plan(*points), finds=(Find("s", "highest", "a.rate", candidates, "find ..."),))
    assert [point.index for point in most_points(plan, lambda point: point.index)] == [4, 5, 6, 7]
    assert [point.index for point in most_points(plan, lambda point: -point.index)] == [0, 1, 2, 7]
    saturation = attrs.evolve(plan, finds=(attrs.evolve(plan.finds[0], kind="saturation"),))
    assert most_points(saturation) == plan.points
