"""Judging: what passes, what fails, what is not judged, and the exit code."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kvscen.language.values import Quantity
from kvscen.results.judge import Verdict, exit_code, judge
from kvscen.results.measures import MEASURES, OPERATIONS_ABOVE
from kvscen.results.record import Status, TrialRecord
from tests.results.support import MIB, expectation, make_plan, make_point, make_record, measures, share

FAST = expectation("throughput", ">=", Quantity.of(200, "MiB/s"))
CLEAN = expectation("errors", "==", Quantity.of(0))


def verdict_of(expected: object, *records: TrialRecord) -> Verdict:
    (verdict,) = judge(make_plan(make_point(1, expectations=(expected,))), records)  # type: ignore[arg-type]
    return verdict


def trials(*values: dict) -> list[TrialRecord]:
    return [make_record(make_point(1), n, values=measures(**each)) for n, each in enumerate(values, 1)]


def test_a_measure_is_judged_on_the_median_of_ok_trials() -> None:
    slow_hang = make_record(make_point(1), 4, "incomplete", "cut short", measures(1.0))
    verdict = verdict_of(
        FAST, *trials({"throughput_mib": 150}, {"throughput_mib": 210}, {"throughput_mib": 400}), slow_hang
    )
    assert verdict.outcome == "pass"
    assert (verdict.value, verdict.limit, verdict.unit) == (210 * MIB, 200 * MIB, "B/s")
    verdict = verdict_of(FAST, *trials({"throughput_mib": 150}, {"throughput_mib": 199.9}, {"throughput_mib": 400}))
    assert (verdict.outcome, verdict.reason) == ("fail", "median of 3 trials")


def test_a_count_is_judged_on_the_sum_over_all_trials_that_ran() -> None:
    clean = trials({}, {})
    assert verdict_of(CLEAN, *clean).outcome == "pass"
    failed = make_record(make_point(1), 3, "error", "EIO", {"errors": 2})
    verdict = verdict_of(CLEAN, *clean, failed)
    assert (verdict.outcome, verdict.value) == ("fail", 2)


def test_a_trial_that_left_no_count_is_no_zero() -> None:
    hang = make_record(make_point(1), 3, "hang", "nothing completed for 30 s")
    verdict = verdict_of(CLEAN, *trials({}, {}), hang)
    assert verdict.outcome == "fail"
    assert verdict.reason == "trial 3 left no count: the sum is not known"
    many = expectation("operations", ">=", Quantity.of(30_000))
    assert verdict_of(many, *trials({}, {}), hang).outcome == "pass"


@pytest.mark.parametrize("status", ["hang", "error", "corrupt", "incomplete"])
def test_a_point_without_an_ok_trial_fails(status: Status) -> None:
    verdict = verdict_of(CLEAN, make_record(make_point(1), 1, status, "so it was", {"errors": 0}))
    assert (verdict.outcome, verdict.reason) == ("fail", f"no trial is ok: {status}: so it was")


def test_an_unavailable_point_is_not_judged() -> None:
    verdict = verdict_of(CLEAN, *(make_record(make_point(1), n, "unavailable", "no GPU here") for n in (1, 2)))
    assert (verdict.outcome, verdict.reason) == ("not judged", "unavailable: no GPU here")
    mixed = [make_record(make_point(1), 1, "hang", "stuck"), make_record(make_point(1), 2, "unavailable", "tier lost")]
    assert verdict_of(CLEAN, *mixed).outcome == "fail"


def test_a_point_that_was_not_reached_is_not_judged() -> None:
    assert verdict_of(CLEAN).outcome == "not judged"
    assert verdict_of(CLEAN, make_record(make_point(1), 1, "interrupted", "Ctrl-C")).outcome == "not judged"


def test_a_percentile_that_is_not_printed_fails_with_the_reason() -> None:
    tail = expectation("latency_p999", "<=", Quantity.of(5, "ms"))
    verdict = verdict_of(tail, *trials({"operations": 6200}, {"operations": 7000}))
    assert verdict.outcome == "fail"
    assert verdict.value is None
    assert verdict.reason == (
        "fewer than 10 operations lie above it in any trial: it needs 10,000 in a trial, and there were 6,200"
    )
    verdict = verdict_of(tail, *trials({"operations": 6200}, {"operations": 20_000}))
    assert "in 1 of 2 trials" in verdict.reason
    batches = expectation("batch_latency_p99", "<=", Quantity.of(5, "ms"))
    assert verdict_of(batches, *trials({})).reason == (
        "fewer than 10 batches lie above it in the trial: it needs 1,000 in a trial"
    )


def test_a_hit_rate_without_look_ups_fails() -> None:
    verdict = verdict_of(expectation("hit_rate", ">=", share("50")), *trials({}, {}))
    assert (verdict.outcome, verdict.reason) == ("fail", "nothing was looked up in any trial")


def test_a_measure_that_the_driver_does_not_bring_fails() -> None:
    verdict = verdict_of(expectation("wire", ">=", Quantity.of(1, "GiB")), *trials({}))
    assert (verdict.outcome, verdict.reason) == ("fail", "wire was not measured in the trial")
    verdict = verdict_of(expectation("lookups", ">=", Quantity.of(1)), *trials({}))
    assert (verdict.outcome, verdict.reason) == ("fail", "lookups was not counted in any trial")


def test_requests_that_share_blocks_have_no_latency_to_judge() -> None:
    slow = expectation("request_latency_p99", "<=", Quantity.of(1, "s"))
    shared = make_point(1, expectations=(slow,), batch=625, requests=10)
    (verdict,) = judge(make_plan(shared), [make_record(shared, 1)])
    assert verdict.outcome == "fail"
    assert verdict.reason == "the requests of a batch share blocks (sizing = kvbench): none has a latency of its own"
    whole = make_point(1, expectations=(slow,), batch=630, requests=10)
    (verdict,) = judge(make_plan(whole), [make_record(whole, 1)])
    assert verdict.reason.startswith("fewer than 10 requests lie above it")


def test_units_are_converted_exactly() -> None:
    exact = expectation("latency_p50", "<=", Quantity.of("0.9", "ms"))
    assert verdict_of(exact, *trials({"p50_us": 900})).outcome == "pass"
    below = expectation("latency_p50", "<", Quantity.of("0.9", "ms"))
    assert verdict_of(below, *trials({"p50_us": 900})).outcome == "fail"


def test_a_share_measured_as_a_float_equals_the_share_expected() -> None:
    """0.7 is no binary fraction; as written it is what was expected."""
    for symbol in ("==", ">=", "<="):
        verdict = verdict_of(expectation("hit_rate", symbol, share("70")), *trials({"hit_rate": 0.7}))
        assert verdict.outcome == "pass", symbol


def test_a_level_of_a_tier_is_judged_by_its_own_rows() -> None:
    rows = ({"tier": "dram", "lookups": 10, "hits": 9}, {"tier": "dram", "to_tier": "disk", "lookups": 1, "hits": 0})
    records = [make_record(make_point(1), n, tiers=rows) for n in (1, 2, 3)]
    assert verdict_of(expectation("dram.hit_rate", ">=", share("90")), *records).outcome == "pass"
    assert verdict_of(expectation("dram.hits", "==", Quantity.of(27)), *records).value == 27
    missing = verdict_of(expectation("nvme.hit_rate", ">=", share("90")), *records)
    assert missing.outcome == "fail"


def test_every_expectation_of_every_point_in_order() -> None:
    points = [make_point(n, expectations=(FAST, CLEAN)) for n in (1, 2)]
    found = judge(make_plan(*points), [make_record(points[1], 1), make_record(points[0], 1)])
    assert [(v.point_id, v.measure, v.outcome) for v in found] == [
        (points[0].id, "throughput", "pass"),
        (points[0].id, "errors", "pass"),
        (points[1].id, "throughput", "pass"),
        (points[1].id, "errors", "pass"),
    ]


@pytest.mark.parametrize(
    ("statuses", "outcomes", "interrupted", "code"),
    [
        (["ok", "ok"], ["pass"], False, 0),
        (["ok", "unavailable"], ["pass", "not judged"], False, 0),
        (["ok"], ["fail"], False, 1),
        (["ok", "hang"], ["fail"], False, 3),
        (["ok", "error"], [], False, 3),
        (["corrupt"], [], False, 3),
        (["incomplete"], [], False, 3),
        (["ok", "hang", "interrupted"], ["fail"], True, 130),
        ([], [], True, 130),
        ([], [], False, 0),
    ],
)
def test_exit_codes(statuses: list[Status], outcomes: list, interrupted: bool, code: int) -> None:
    records = [make_record("p", n, status, "x") for n, status in enumerate(statuses, 1)]
    verdicts = [Verdict("p", "s", "e", "m", "==", None, None, None, outcome) for outcome in outcomes]
    assert exit_code(records, verdicts, interrupted) == code


def test_the_operations_that_a_percentile_needs() -> None:
    needed = {name: MEASURES[f"latency_{name}"].least_operations for name in ("p50", "p90", "p99", "p999", "p9999")}
    assert needed == {"p50": 20, "p90": 100, "p99": 1000, "p999": 10_000, "p9999": 100_000}


def test_the_histogram_prints_what_the_judge_says_it_prints() -> None:
    import numpy as np

    from kvscen.measure.histogram import MIN_ABOVE, Histogram

    assert MIN_ABOVE == OPERATIONS_ABOVE
    for name in ("p50", "p90", "p95", "p99", "p999"):
        info = MEASURES[f"latency_{name}"]
        assert info.percentile is not None
        for number, printed in ((info.least_operations, True), (info.least_operations - 1, False)):
            histogram = Histogram()
            histogram.add(np.arange(1, number + 1, dtype=np.int64))
            assert (histogram.percentile(float(info.percentile)) is not None) == printed, (name, number)


def test_names_of_measures_are_columns_without_the_unit() -> None:
    for name, info in MEASURES.items():
        if not name.endswith("operations_per_s"):
            assert info.column.startswith(name)
            assert not name.endswith(("_ns", "_bytes", "_per_s"))
        assert info.scale * 1 == Fraction(info.scale)
