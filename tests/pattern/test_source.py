"""A lane's operations: every key once in a pass, reproducible, due at exact times."""

from __future__ import annotations

from fractions import Fraction

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.pattern.order import Keys, Shuffled, share
from kvscen.pattern.source import LaneSource
from kvscen.plan.point import Work
from kvscen.plugin import NO_REQUEST, READ, WRITE

WORK = Work(op="read", block_bytes=4096, batch=4, keys=10, requests=2)


def take(source: LaneSource, count: int, now: int = 0) -> np.ndarray:
    rows = []
    while count:
        got = source.next(count, now).copy()
        rows.append(got)
        count -= len(got)
    return np.concatenate(rows)


@given(st.integers(1, 5000), st.integers(0, 2**32))
def test_a_shuffled_pass_touches_every_key_once(count: int, seed: int) -> None:
    shuffled = Shuffled(count, seed)
    drawn: list[int] = []
    while len(drawn) < count:
        drawn.extend(shuffled.chunk().tolist())
    assert sorted(drawn[:count]) == list(range(count))


def test_draws_are_the_same_everywhere() -> None:
    assert Shuffled(10, 42).chunk().tolist() == [5, 9, 7, 3, 1, 2, 4, 0, 8, 6]
    assert Shuffled(1000, 7).chunk()[:5].tolist() == [791, 263, 119, 312, 848]


@given(st.integers(1, 1000), st.integers(1, 20))
def test_shares_cover_all_keys_without_overlap(keys: int, parts: int) -> None:
    shares = [share(keys, parts, index) for index in range(parts)]
    if keys < parts:
        assert shares == [Keys(0, keys)] * parts
    else:
        covered = [key for s in shares for key in range(s.first, s.first + s.count)]
        assert covered == list(range(keys))


def test_sequential_wraps_and_numbers_batches_and_requests() -> None:
    rows = take(LaneSource(WORK, Keys(100, 10), 4096, seed=1), 12)
    assert rows["key"].tolist() == [*range(100, 110), 100, 101]
    assert rows["batch"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert rows["request"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert (rows["bytes"] == 4096).all() and (rows["kind"] == READ).all()


def test_requests_that_share_blocks_are_not_numbered() -> None:
    rows = take(LaneSource(attrs.evolve(WORK, batch=5), Keys(0, 10), 4096, seed=1), 12)
    assert rows["batch"].tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert set(rows["request"].tolist()) == {NO_REQUEST}


def test_mixed_draws_the_share_of_reads() -> None:
    work = attrs.evolve(WORK, op="mixed", read_share=Fraction(7, 10))
    kinds = take(LaneSource(work, Keys(0, 10), 4096, seed=3), 20_000)["kind"]
    assert set(kinds.tolist()) == {READ, WRITE}
    assert 0.68 < (kinds == READ).mean() < 0.72


def test_constant_arrivals_are_exact_and_lanes_interleave() -> None:
    work = attrs.evolve(WORK, rate_per_s=Fraction(3))
    sources = [LaneSource(work, Keys(0, 10), 4096, seed=1, lane=i, lanes=2) for i in range(2)]
    due = []
    for source in sources:
        source.start(1000)
        due.extend(take(source, 3, now=10**12)["due"].tolist())
    assert sorted(due) == [1000 + i * 10**9 // 3 for i in range(6)]


def test_an_open_loop_gives_only_what_is_due() -> None:
    source = LaneSource(attrs.evolve(WORK, rate_per_s=Fraction(1000)), Keys(0, 10), 4096, seed=1)
    source.start(0)
    assert source.next_due_ns == 0
    assert len(source.next(10, 2_500_000)) == 3
    assert source.next_due_ns == 3_000_000
    assert len(source.next(10, 2_999_999)) == 0
    assert source.due_by(5_000_000) == 3


@pytest.mark.parametrize("seed", [1, 2])
def test_poisson_gaps_have_the_mean_and_spread_of_the_rate(seed: int) -> None:
    source = LaneSource(attrs.evolve(WORK, rate_per_s=Fraction(1000), arrival="poisson"), Keys(0, 10), 4096, seed=seed)
    source.start(0)
    gaps = np.diff(take(source, 20_000, now=10**15)["due"])
    assert 0.97e6 < gaps.mean() < 1.03e6
    assert 0.95 < gaps.std() / gaps.mean() < 1.05


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(20, 99), st.integers(0, 50), st.sampled_from(["sequential", "random"]))
def test_batches_are_handed_out_whole(batch: int, keys: int, seed: int, order: str) -> None:
    """However the chunks fall; the operations are those that come by themselves."""
    work = Work("read", 512, batch, keys, wait="batch", order=order)  # type: ignore[arg-type]
    source = LaneSource(work, Keys(0, keys), 512, seed)
    single = LaneSource(attrs.evolve(work, wait="operation"), Keys(0, keys), 512, seed)
    expected: list[int] = []
    found: list[int] = []
    for number in range(6):
        rows = source.next(batch * (1 + number % 3), 0)
        assert len(rows) and len(rows) % batch == 0
        assert (rows["batch"].reshape(-1, batch) == rows["batch"].reshape(-1, batch)[:, :1]).all()
        found += rows["key"].tolist()
    while len(expected) < len(found):
        expected += single.next(1000, 0)["key"].tolist()
    assert found == expected[: len(found)]
