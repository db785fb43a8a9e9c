"""What counts inside the window, by hand; batches and requests; memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.measure.recorder import MAX_INTERVALS, Groups, Recorder, Sample, Window
from kvscen.plugin import COMPLETION, ERROR, MISS, OK, OPERATION, READ, WRITE

MS = 1_000_000


def rows(*operations: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(asked, submitted, ended) in ms -> rows of 100 bytes each."""
    ops = np.zeros(len(operations), OPERATION)
    done = np.zeros(len(operations), COMPLETION)
    for row, (asked, submitted, ended) in enumerate(operations):
        ops[row]["due"], done[row]["submit"], done[row]["end"] = asked * MS, submitted * MS, ended * MS
        ops[row]["batch"] = ops[row]["request"] = row
        ops[row]["bytes"] = done[row]["bytes"] = 100
    return ops, done


def remember(recorder: Recorder, ops: np.ndarray, done: np.ndarray) -> None:
    """As the loop does: reaped into the recorder's own memory."""
    recorder.room(len(done))[: len(done)] = done
    recorder.push(ops)


def recorded(ops: np.ndarray, done: np.ndarray, end_ms: int | None = 200, open_loop: bool = False) -> Sample:
    recorder = Recorder(Window(100 * MS, None if end_ms is None else end_ms * MS), 1, 1, open_loop)
    remember(recorder, ops, done)
    return recorder.finish()


def test_bytes_count_where_they_end_and_latency_where_it_was_asked() -> None:
    # Asked in the warm-up and ended inside; inside; asked inside and ended after; all after.
    sample = recorded(*rows((90, 90, 110), (120, 120, 150), (190, 190, 230), (210, 210, 220)))
    assert (sample.operations, sample.moved_bytes, sample.load_bytes) == (2, 200, 400)
    latency = sample.series["read", "block", "latency"]
    assert (latency.number, latency.smallest, latency.largest) == (2, 30 * MS, 40 * MS)


def test_what_was_held_back_belongs_to_the_window_in_which_it_was_submitted() -> None:
    # Asked in the warm-up and submitted inside; asked inside and submitted after the end.
    sample = recorded(*rows((90, 110, 130), (190, 210, 215)))
    assert sample.series["read", "block", "latency"].largest == 20 * MS
    assert sample.series["read", "block", "latency"].number == 1
    assert (sample.first_ns, sample.last_ns) == (110 * MS, 130 * MS)


def test_counted_operations_are_those_asked_after_the_warm_up() -> None:
    sample = recorded(*rows((90, 90, 110), (120, 121, 150), (190, 190, 230)), end_ms=None)
    assert (sample.operations, sample.first_ns, sample.last_ns) == (2, 121 * MS, 230 * MS)


def test_an_open_loop_counts_the_delay_before_the_submission() -> None:
    sample = recorded(*rows((120, 130, 150)), open_loop=True)
    series = sample.series
    assert series["read", "block", "latency"].largest == 30 * MS
    assert series["read", "block", "service"].largest == 20 * MS
    assert series["read", "block", "delay"].largest == 10 * MS


def test_failures_and_misses_are_no_bytes_and_no_latency() -> None:
    ops, done = rows((110, 110, 120), (110, 110, 120), (110, 110, 120))
    done["outcome"] = [OK, ERROR, MISS]
    done["bytes"] = [100, 50, 0]
    sample = recorded(ops, done)
    assert (sample.operations, sample.errors, sample.misses, sample.moved_bytes) == (1, 1, 1, 100)
    assert sample.series["read", "block", "latency"].number == 1
    assert sample.series["miss", "block", "latency"].number == 1


def test_reads_and_writes_have_series_of_their_own() -> None:
    ops, done = rows((110, 110, 120), (110, 110, 140))
    ops["kind"] = [READ, WRITE]
    sample = recorded(ops, done)
    assert (sample.reads, sample.writes) == (1, 1)
    assert sample.series["write", "block", "latency"].smallest == 30 * MS


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 7))
def test_a_group_lasts_from_its_first_due_to_its_last_end(order: list[int], chunk: int) -> None:
    size = 3
    ids = np.repeat(np.arange(10), size)
    generator = np.random.Generator(np.random.PCG64(len(order) * 100 + sum(order)))
    shuffled = generator.permutation(len(ids))
    due, end = np.arange(30) * 10, np.arange(30) * 10 + generator.integers(1, 50, 30)
    failed = np.zeros(30, np.int64)
    failed[4] = 1  # one operation of group 1
    groups, found = Groups(size), []
    for start in range(0, 30, chunk):
        some = shuffled[start : start + chunk]
        found += list(zip(*groups.update(ids[some], due[some], end[some], failed[some]), strict=True))
    expected = [(due[ids == g].min(), end[ids == g].max()) for g in range(10) if g != 1]
    assert sorted(found) == sorted(expected)
    assert len(groups._kept[0]) == 0


@pytest.mark.parametrize("seconds", [1, 200])
def test_the_timeline_stays_small_and_complete(seconds: int) -> None:
    recorder = Recorder(Window(0, None), 1, 1, False)
    total = 0
    for start in range(0, seconds * 1000, 10):
        ops, done = rows((start, start, start + 5))
        remember(recorder, ops, done)
        total += 1
    sample = recorder.finish()
    timeline = sample.timeline()
    assert len(timeline) <= MAX_INTERVALS
    assert sum(row["operations"] or 0 for row in timeline) == total == sample.operations
    assert timeline[-1]["start_ns"] <= seconds * 1000 * MS


def test_merging_lanes_aligns_their_intervals() -> None:
    long, short = Recorder(Window(0, None), 1, 1, False), Recorder(Window(0, None), 1, 1, False)
    remember(long, *rows((0, 0, 5), (100_000, 100_000, 100_001)))
    remember(short, *rows((0, 0, 5)))
    merged = Sample()
    for sample in (long.finish(), short.finish()):
        merged.merge(sample)
    timeline = merged.timeline()
    assert timeline[0]["operations"] == 2 and timeline[-1]["operations"] == 1
    assert (merged.operations, merged.moved_bytes) == (3, 300)


def test_the_timeline_shows_when_operations_failed() -> None:
    ops, done = rows((110, 110, 120), (310, 310, 320), (310, 310, 330), (590, 590, 610))
    done["outcome"], done["bytes"] = [OK, ERROR, ERROR, ERROR], [100, 0, 0, 0]
    timeline = recorded(ops, done, end_ms=600).timeline()
    assert [row["errors"] for row in timeline] == [0, 0, 2, 0, 0]
    assert [row["operations"] for row in timeline] == [1, 0, 0, 0, 0]
    counted = recorded(ops, done, end_ms=None).timeline()
    assert [row["errors"] for row in counted] == [0, 0, 2, 0, 0, 1]


def test_intervals_of_a_window_that_is_no_multiple_of_the_shortest() -> None:
    """A window of 50 s has intervals of a 300th of it, 166.7 ms; merging keeps that length."""
    merged = Sample()
    for _ in range(2):
        recorder = Recorder(Window(0, 50_000 * MS), 1, 1, False)
        remember(recorder, *rows((0, 0, 5), (49_990, 49_990, 49_999)))
        merged.merge(recorder.finish())
    timeline = merged.timeline()
    assert len(timeline) == MAX_INTERVALS
    assert (timeline[0]["operations"], timeline[-1]["operations"]) == (2, 2)
    assert timeline[-1]["start_ns"] == (MAX_INTERVALS - 1) * -(-50_000 * MS // MAX_INTERVALS)


def test_many_rows_at_once() -> None:
    count = 10_000
    ops, done = np.zeros(count, OPERATION), np.zeros(count, COMPLETION)
    done["submit"], done["end"], done["bytes"] = 150 * MS, 160 * MS, 1
    ops["due"] = 150 * MS
    assert recorded(ops, done).operations == count


@given(st.integers(0, 10**6), st.integers(1, 5), st.booleans())
def test_the_short_way_counts_what_the_long_way_counts(seed: int, batch: int, writes: bool) -> None:
    draws = np.random.Generator(np.random.PCG64(seed))
    samples = []
    for short in (True, False):
        kind = None if writes else READ  # told beforehand, or found in the rows
        recorder = Recorder(Window(100 * MS, 300 * MS), batch, batch, False, kind=kind)
        if not short:
            recorder._count_plain = lambda asked, done: False  # type: ignore[method-assign]
        draws = np.random.Generator(np.random.PCG64(seed))
        for number in range(6):
            count = int(draws.integers(1, 50))
            ops, done = np.zeros(count, OPERATION), np.zeros(count, COMPLETION)
            ops["due"] = draws.integers(90 * MS, 290 * MS, count) if number % 2 else 150 * MS
            done["submit"] = ops["due"] + 1000
            done["end"] = done["submit"] + draws.integers(1, 20 * MS, count)
            ops["batch"] = ops["request"] = draws.integers(0, 20, count)
            ops["kind"], done["bytes"] = WRITE if writes else READ, 512
            remember(recorder, ops, done)
            recorder.flush()
        samples.append(recorder.finish())
    short_sample, long_sample = samples
    for name in (
        "operations",
        "reads",
        "writes",
        "errors",
        "moved_bytes",
        "load_bytes",
        "first_ns",
        "last_ns",
    ):
        assert getattr(short_sample, name) == getattr(long_sample, name), name
    assert short_sample.series.keys() == long_sample.series.keys()
    for key, histogram in short_sample.series.items():
        assert (histogram.counts == long_sample.series[key].counts).all(), key
    assert short_sample.timeline() == long_sample.timeline()
