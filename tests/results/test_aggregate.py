"""Medians over trials, spreads, sums, and what was left out."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from kvscen.results.aggregate import Total, aggregate, by_point, left_out, total
from tests.results.support import make_record


@given(st.lists(st.floats(1, 1e12), min_size=2, max_size=9))
def test_median_and_sample_standard_deviation(values: list[float]) -> None:
    trials = [make_record("p", n, values={"x": value}) for n, value in enumerate(values, 1)]
    found = aggregate(trials, "x")
    assert (found.median, found.spread, found.n) == (statistics.median(values), statistics.stdev(values), len(values))


def test_one_trial_has_no_spread() -> None:
    found = aggregate([make_record("p", 1, values={"x": 5})], "x")
    assert (found.median, found.spread, found.n) == (5, None, 1)


def test_only_ok_trials_enter() -> None:
    trials = [
        make_record("p", 1, values={"x": 10}),
        make_record("p", 2, "incomplete", "", {"x": 99}),
        make_record("p", 3, "interrupted", "", {"x": 99}),
    ]
    assert aggregate(trials, "x").median == 10


def test_no_median_of_those_that_happen_to_have_a_value() -> None:
    trials = [make_record("p", 1, values={"x": 10}), make_record("p", 2, values={})]
    found = aggregate(trials, "x")
    assert (found.median, found.n, found.lacking) == (None, 1, 1)


def test_sums_say_what_they_do_not_know() -> None:
    trials = [
        make_record("p", 1, values={"errors": 1}),
        make_record("p", 2, "hang", "", {}),
        make_record("p", 3, "interrupted", "", {}),
        make_record("p", 4, "unavailable", "", {"errors": 7}),
        make_record("p", 5, "error", "", {"errors": 2}),
    ]
    assert total(trials, "errors") == Total(3, (2,))


def test_trials_of_a_point_are_ordered_by_number() -> None:
    found = by_point([make_record("b", 2), make_record("a", 1), make_record("b", 1)])
    assert {point: [trial.trial for trial in trials] for point, trials in found.items()} == {"b": [1, 2], "a": [1]}


def test_what_was_left_out_is_said_once_for_each_reason() -> None:
    trials = [
        make_record("p", 1),
        make_record("p", 2, "hang", "stuck"),
        make_record("p", 3, "hang", "stuck"),
        make_record("p", 4, "error", "EIO"),
    ]
    assert left_out(trials) == [("hang", 2, "stuck"), ("error", 1, "EIO")]
