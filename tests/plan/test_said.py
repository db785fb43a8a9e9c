"""What is wrong at many points is said once; what is wrong twice at one point is said twice."""

from __future__ import annotations

from kvscen.language.diagnose import Diagnostic, Severity
from kvscen.plan.search import Said


def _problem(message: str) -> Diagnostic:
    return Diagnostic("KVS205", Severity.ERROR, message)


def _labels(said: Said) -> list[tuple[str, str]]:
    return [(item.message, item.label) for item in said.diagnostics]


def test_points_that_differ_in_figures_are_named_together() -> None:
    said = Said()
    for tier in ("a", "b"):
        for size in ("1 MiB", "2 MiB"):
            said.say([_problem(f"a block of {size} is too large")], f"at tier = {tier}, p.block = {size}")
    assert _labels(said) == [("a block of 1 MiB is too large", "at tier in [a, b], p.block in [1 MiB, 2 MiB]")]


def test_two_problems_of_one_point_are_two_however_alike() -> None:
    said = Said()
    for size in ("1 MiB", "2 MiB"):
        levels = [_problem(f"level {level} holds no block of {size}") for level in (1, 2)]
        said.say(levels, f"at p.block = {size}")
        said.say(levels, f"at p.block = {size}")
    label = "at p.block in [1 MiB, 2 MiB]"
    assert _labels(said) == [("level 1 holds no block of 1 MiB", label), ("level 2 holds no block of 1 MiB", label)]


def test_without_a_place_nothing_is_folded() -> None:
    said = Said()
    said.say([_problem("3 files are missing"), _problem("4 files are missing"), _problem("3 files are missing")])
    assert _labels(said) == [("3 files are missing", ""), ("4 files are missing", "")]


def test_names_that_differ_in_a_digit_are_other_names() -> None:
    said = Said()
    said.say([_problem("`disk1` is full")], "at tier = disk1")
    said.say([_problem("`disk2` is full")], "at tier = disk2")
    assert len(said.diagnostics) == 2


def test_points_that_are_no_product_are_counted_and_of_a_large_plan_not_even_that() -> None:
    for every, rest in ((True, ", and 2 more like it"), (False, ", and more like it")):
        said = Said(every)
        for where in ("at a = 1, b = 1", "at a = 1, b = 2", "at a = 2, b = 1"):
            said.say([_problem("it is wrong")], where)
        assert _labels(said) == [("it is wrong", f"at a = 1, b = 1{rest}")]
