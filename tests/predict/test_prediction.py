"""From a trace to figures: by hand, against the independent simulator, and from a sample."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from kvscen.cache import POLICIES
from kvscen.predict import Capacity, Prediction, PredictionError, predict
from kvscen.trace import TraceError, open_trace
from tests.predict.support import BY_HAND, GROWING, mooncake
from tests.trace.support import write
from tests.traces import AGENTIC, FOLDER, MOONCAKE, counted

LIMITLESS = Capacity("none", "none")


def blocks(*counts: int) -> list[Capacity]:
    return [Capacity(str(count), "blocks", Fraction(count)) for count in counts]


def figures(found: Prediction) -> list[tuple[float, int | None]]:
    return [(at.hits.hits, at.hits.prefix_hits) for at in found.at]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("lru", [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (5, 5), (5, 5)]),
        ("lru_tail_first", [(1, 1), (2, 2), (3, 3), (4, 4), (4, 4), (5, 5), (5, 5)]),
    ],
)
def test_by_hand(tmp_path: Path, policy: str, expected: list[tuple[int, int]]) -> None:
    trace = open_trace(mooncake(tmp_path / "t", BY_HAND))
    found = predict(trace, policy, [*blocks(1, 2, 3, 4, 5, 6), LIMITLESS])
    assert figures(found) == expected
    assert (found.curve.lookups, found.curve.distinct, found.duration_ns) == (11, 6, 180 * 10**9)
    assert found.limit.hit_rate == found.limit.prefix_hit_rate == 5 / 11
    assert [at.fill_ns for at in found.at] == [0, 0, 0, 60 * 10**9, 120 * 10**9, 120 * 10**9, None]


def test_another_policy_by_hand(tmp_path: Path) -> None:
    """fifo of four: 1 2 3 4, then 5 and 6 push 1 and 2 out, and of the last request only 3 is left."""
    found = predict(open_trace(mooncake(tmp_path / "t", BY_HAND)), "fifo", [*blocks(4), LIMITLESS])
    assert figures(found) == [(3, 2), (5, 5)]
    assert found.reached() == () and not found.curve.whole


def test_the_least_capacity_for_a_share_of_the_possible_hits(tmp_path: Path) -> None:
    found = predict(open_trace(mooncake(tmp_path / "t", BY_HAND)), "lru", [])
    assert found.reached() == ((0.5, 4), (0.9, 6), (0.99, 6)), "3, 5 and 5 of 5 hits"
    assert [(at.asked, at.blocks) for at in found.at] == [("20%", 1), ("50%", 3), ("100%", 6), ("none", None)]


@pytest.mark.parametrize("policy", list(POLICIES))
def test_without_limit_all_policies_are_alike(tmp_path: Path, policy: str) -> None:
    trace = open_trace(mooncake(tmp_path / "t", GROWING))
    found = predict(trace, policy, [*blocks(10**9), LIMITLESS])
    unique = len({key for _, keys in GROWING for key in keys})
    assert found.at[0].hits.hits == found.at[1].hits.hits == found.limit.hits == found.curve.lookups - unique
    assert found.at[0].hits.prefix_hits == found.limit.prefix_hits


def test_a_block_twice_in_a_request_hits_neither_time(tmp_path: Path) -> None:
    trace = open_trace(mooncake(tmp_path / "t", [(0, [7, 7]), (1, [7, 7, 8])]))
    for policy in ("lru", "fifo"):
        found = predict(trace, policy, [*blocks(1), LIMITLESS])
        assert [at.hits.hits for at in found.at] == [2, 2] and found.limit.capacity == 2


@pytest.mark.parametrize(("policy", "direction"), [("lru", "forward"), ("lru_tail_first", "reverse")])
@pytest.mark.parametrize("name", [MOONCAKE, pytest.param(AGENTIC, marks=pytest.mark.long)])
def test_the_independent_counts_to_the_digit(name: str, policy: str, direction: str) -> None:
    expected = counted(name)
    shares = [Capacity(share, "share", Fraction(int(share[:-1]), 100)) for share in ("1%", "10%", "50%")]
    found = predict(open_trace(FOLDER / name), policy, [*shares, LIMITLESS])
    for at, share in zip(found.at, ("1%", "10%", "50%"), strict=False):
        count = expected["lru"][share][direction]
        assert (at.blocks, at.hits.hits, at.hits.prefix_hits) == (
            count["capacity_blocks"],
            count["hit_any"],
            count["hit_prefix"],
        )
    assert figures(found)[-1] == (expected["infinite_hit_any"], expected["infinite_hit_prefix"])
    assert found.curve.distinct == expected["unique_blocks"]


def test_a_sample(tmp_path: Path) -> None:
    """Every second block: each figure within four of the errors that are stated."""
    trace = open_trace(mooncake(tmp_path / "t", GROWING))
    exact, sampled = predict(trace, "lru", []), predict(trace, "lru", [], halvings=1)
    assert sampled.curve.rate == 0.5 and sampled.duration_ns == exact.duration_ns
    for mine, theirs in zip(sampled.at, exact.at, strict=True):
        assert mine.hits.standard_error is not None
        assert abs(mine.hits.hit_rate - theirs.hits.hit_rate) < 4 * mine.hits.standard_error + 0.005
        if mine.blocks is not None and theirs.fill_ns is not None and mine.asked != "100%":
            assert mine.fill_ns == pytest.approx(theirs.fill_ns, abs=20 * 10**9)


def test_a_sample_of_everything_is_exact(tmp_path: Path) -> None:
    trace = open_trace(mooncake(tmp_path / "t", GROWING))
    exact, sampled = predict(trace, "lru", []), predict(trace, "lru", [], halvings=0)
    assert sampled.at == exact.at and sampled.limit == exact.limit


def test_a_trace_without_times(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "sharegpt"))
    for halvings in (None, 0):
        found = predict(trace, "lru", [], halvings=halvings)
        assert found.duration_ns is None and {at.fill_ns for at in found.at} == {None}
        assert found.curve.lookups == len(trace.blocks().ids)


def test_what_gives_no_answer(tmp_path: Path) -> None:
    trace = open_trace(mooncake(tmp_path / "t", BY_HAND))
    with pytest.raises(PredictionError, match="`arc` has no curve in one pass"):
        predict(trace, "arc", [])
    with pytest.raises(PredictionError, match="a sample tells nothing of `arc`"):
        predict(trace, "arc", blocks(1), halvings=1)
    with pytest.raises(PredictionError, match="too few to tell anything"):
        predict(trace, "lru", [], halvings=1)
    for form in ("azure", "burstgpt"):
        with pytest.raises(TraceError, match="has no block ids"):
            predict(open_trace(write(tmp_path, form)), "lru", [])
    with pytest.raises(TraceError, match="no request in it has a block"):
        predict(open_trace(mooncake(tmp_path / "t", [(0, [])])), "lru", [])
    with pytest.raises(TraceError, match="no request in it has a block"):
        predict(open_trace(mooncake(tmp_path / "t", [(0, [])])), "lru", [], halvings=1)
