"""The operations of a replay: which, in which order, and when."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.cache import CacheLevel, TieredCache
from kvscen.measure.first_token import FirstToken
from kvscen.pattern.replay_source import LookedUp, ReplaySource
from kvscen.plugin.contract import COMPLETION, ERROR, OK, READ, WRITE, Decided, Rows
from kvscen.predict.replay import replay
from kvscen.trace.requests import Requests

MS = 10**6
Names = list[tuple[str, int, int]]


def requests_of(blocks: Sequence[Sequence[int]], arrival_ms: Sequence[int] | None = None) -> Requests:
    keys = np.array([key for each in blocks for key in each], np.int64)
    offsets = np.cumsum([0, *map(len, blocks)])
    times = None if arrival_ms is None else np.array(arrival_ms, np.int64) * MS
    return Requests(keys, offsets, times, int(keys.max(initial=-1)) + 1, 16, True)


def keeps_all(request: Sequence[int], look_up: bool = True) -> None:
    return None


class Cache:
    """Decides as a tiered tier does, with room for so many blocks."""

    def __init__(self, capacity: int, policy: str = "lru") -> None:
        self.cache = TieredCache([CacheLevel(capacity)], policy)

    def decide(self, request: Sequence[int], look_up: bool = True) -> Decided:
        found = self.cache.look(request) if look_up else [-1] * len(request)
        kept = [(key, self.cache.keep(key, len(request)).places) for key in self.cache.order(request)]
        return Decided(found, [key for key, places in kept if places])


def end(source: ReplaySource, rows: Rows, end_ns: int = 0, outcome: int = OK) -> None:
    """These end together."""
    completions = np.zeros(len(rows), COMPLETION)
    completions["end"], completions["outcome"] = end_ns, outcome
    source.done(rows, completions)


def names(rows: Rows) -> Names:
    kinds = {READ: "read", WRITE: "write"}
    return [(kinds[int(row["kind"])], int(row["key"]), int(row["request"])) for row in rows]


def done(rows: Rows, submit: int = 1, end: int = 2) -> tuple[Rows, Rows]:
    """What ends, and when."""
    completions = np.zeros(len(rows), COMPLETION)
    completions["submit"], completions["end"] = submit, end
    return rows, completions


def drain(source: ReplaySource, most: int = 3, seed: int = 0) -> Names:
    """Everything to the end, `most` in flight, which end in an order drawn from `seed`."""
    rng = np.random.default_rng(seed)
    flying: list[np.ndarray] = []
    found: Names = []
    now = 0
    while True:
        now += MS
        rows = source.next(most - len(flying), now).copy() if len(flying) < most else []
        found += names(rows) if len(rows) else []
        flying += [rows[i : i + 1] for i in range(len(rows))]
        if not flying:
            if source.ended:
                return found
            continue
        end(source, flying.pop(int(rng.integers(len(flying)))))


def test_a_request_reads_what_is_found_and_writes_the_rest() -> None:
    source = ReplaySource(requests_of([[0, 1], [0, 2, 1], [], [0, 1, 2]]), keeps_all, 4096, first_key=100, users=1)
    assert drain(source) == [
        ("write", 100, 0), ("write", 101, 0),
        ("read", 100, 1), ("read", 101, 1), ("write", 102, 1),
        ("read", 100, 3), ("read", 101, 3), ("read", 102, 3),
    ]  # fmt: skip
    assert source.sizes.tolist() == [2, 3, 0, 3]
    found = source.looked_up(0)
    assert (found.requests, found.lookups, found.hits, found.prefix_hits, found.operations) == (4, 8, 5, 4, 8)


def test_a_block_twice_in_a_request_is_written_once() -> None:
    source = ReplaySource(requests_of([[0, 0, 1]]), keeps_all, 4096, users=1)
    assert drain(source) == [("write", 0, 0), ("write", 1, 0)]
    assert source.looked_up(0).hits == 0


def test_so_many_requests_are_under_way() -> None:
    source = ReplaySource(requests_of([[0, 1], [2], [3], [4]]), keeps_all, 512, users=2)
    first = source.next(10, 0).copy()
    assert names(first) == [("write", 0, 0), ("write", 1, 0), ("write", 2, 1)]
    assert not len(source.next(10, 0)) and not source.ended
    end(source, first[:1])
    assert not len(source.next(10, 0)), "half of a request has ended"
    end(source, first[1:2])
    assert names(source.next(10, 5)) == [("write", 3, 2)]


def test_nothing_is_read_before_it_is_written() -> None:
    """Of a tier that is no cache: nobody there sees to it."""
    source = ReplaySource(requests_of([[0, 1], [1, 2]], [0, 0]), keeps_all, 512, speed=Fraction(1))
    source.start(0)
    first = source.next(10, 0).copy()
    assert names(first) == [("write", 0, 0), ("write", 1, 0)]
    assert source.next_due_ns > 10**18, "there is nothing to do before something ends"
    end(source, first[:1])
    assert not len(source.next(10, 0))
    end(source, first[1:])
    assert names(source.next(10, 0)) == [("read", 1, 1), ("write", 2, 1)]
    assert source.ended


@pytest.mark.parametrize("speed", [Fraction(1), Fraction(10), Fraction(1, 3)])
def test_by_the_times_of_the_trace(speed: Fraction) -> None:
    source = ReplaySource(requests_of([[0], [1], [2]], [0, 100, 250]), keeps_all, 512, speed=speed)
    source.start(7)
    assert source.open_loop and source.next_due_ns == 7
    assert [int(row["due"]) for row in source.next(5, 7)] == [7]
    due = 7 + int(100 * MS / speed)
    assert source.next_due_ns == due and not len(source.next(5, due - 1))
    rows = source.next(5, due + 10**12)
    assert [int(row["due"]) for row in rows] == [due, 7 + int(250 * MS / speed)]
    assert source.ended and source.due_by(10**18) == 0


BLOCKS = st.lists(st.lists(st.integers(0, 12), max_size=6), min_size=1, max_size=30)


@given(BLOCKS, st.integers(1, 6), st.sampled_from(["lru", "lru_tail_first", "s3fifo"]), st.integers(0, 99))
def test_the_work_does_not_depend_on_the_pace(blocks: list[list[int]], capacity: int, policy: str, seed: int) -> None:
    found: list[tuple[Names, LookedUp]] = []
    for users, most in ((1, 1), (3, 5), (50, 2)):
        source = ReplaySource(requests_of(blocks), Cache(capacity, policy).decide, 512, users=users)
        found.append((drain(source, most, seed), source.looked_up(0)))
    source = ReplaySource(
        requests_of(blocks, range(len(blocks))), Cache(capacity, policy).decide, 512, speed=Fraction(2)
    )
    source.start(0)
    found.append((drain(source, 4, seed), source.looked_up(0)))
    assert all(each == found[0] for each in found)
    # As the prediction has it.
    if sum(map(len, blocks)):
        own = requests_of(blocks)
        expected = replay(TieredCache([CacheLevel(capacity)], policy), own.keys, own.offsets)
        looked = found[0][1]
        assert (looked.lookups, looked.hits, looked.prefix_hits) == (
            expected.lookups, expected.hits, expected.prefix_hits,
        )  # fmt: skip
        assert looked.operations == looked.hits + expected.counts[0].admitted


def test_another_order_is_another_sequence() -> None:
    hashes = set()
    for blocks in ([[0, 1], [2]], [[0], [1, 2]], [[1, 0], [2]]):
        source = ReplaySource(requests_of(blocks), keeps_all, 512, users=1)
        drain(source)
        hashes.add(source.looked_up(0).sequence)
    assert len(hashes) == 3


# ---- first tokens


def test_a_load_ends_with_the_last_read() -> None:
    source = ReplaySource(requests_of([[0, 1], [0, 1, 2], [3], []]), Cache(8).decide, 4096, users=1)
    end(source, source.next(9, 100), 150)
    reads = source.next(9, 200).copy()
    assert names(reads) == [("read", 0, 1), ("read", 1, 1), ("write", 2, 1)]
    end(source, reads[1:2], 290)
    end(source, reads[:1], 260)
    end(source, reads[2:], 900)  # a write: nobody waits for it
    end(source, source.next(9, 1000), 1100)
    assert source.next(9, 2000).size == 0 and source.ended
    # 16 tokens in a block; the last request has none
    assert source.first_token.load_ns().tolist() == [0, 90, 0]
    assert source.first_token.ttft_ns(Fraction(16 * 10**9, 7)).tolist() == [14, 97, 7]
    # 3 tokens/s: rounded up
    assert source.first_token.ttft_ns(Fraction(3)).tolist() == [10666666667, 5333333424, 5333333334]


def test_a_load_counts_from_when_it_was_due() -> None:
    source = ReplaySource(requests_of([[0], [0]], [0, 5]), Cache(8).decide, 4096, speed=Fraction(1))
    source.start(1000)
    end(source, source.next(9, 1000), 1200)
    end(source, source.next(9, 6 * MS), 7 * MS + 1000)
    assert source.first_token.load_ns().tolist() == [0, 2 * MS]


def test_a_request_that_could_not_be_read_has_no_first_token() -> None:
    source = ReplaySource(requests_of([[0], [0], [0]]), Cache(8).decide, 4096, users=1)
    end(source, source.next(9, 0), 10)
    end(source, source.next(9, 10), 20, ERROR)
    end(source, source.next(9, 20), 35)
    assert source.first_token.load_ns().tolist() == [0, 15]


def test_look_ups_may_be_of_different_lengths() -> None:
    first = FirstToken(2, np.array([16, 16, 5, 16, 3], np.int64))
    first.begin(0, 0, [-1, 0, -1], 0)
    first.begin(1, 0, [-1, -1], 3)
    assert first.ttft_ns(Fraction(10**9)).tolist() == [21, 19]
