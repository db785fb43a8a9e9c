"""Reads that are merged give every buffer what it would have been given alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvscen_drivers.memkv.coalesce import Fetch, Wanted, carry_out, coalesce, one_for_all

VALUE = np.random.default_rng(1).integers(0, 256, 256, np.uint8)
RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 56)), min_size=1, max_size=24)


def carried_out(fetches: list[Fetch], room: int) -> np.ndarray:
    arena = np.zeros(room, np.uint8)
    for fetch in fetches:
        assert fetch.nbytes == sum(nbytes for _, nbytes in fetch.places)
        at = fetch.offset
        for place, nbytes in fetch.places:
            arena[place : place + nbytes] = VALUE[at : at + nbytes]
            at += nbytes
        carry_out(fetch.copies, arena)
    return arena


@given(RANGES, st.integers(1, 256), st.integers(1, 8))
def test_every_buffer_gets_its_range(ranges: list[tuple[int, int]], most_bytes: int, most_places: int) -> None:
    wanted, at, expected = [], 0, []
    for row, (offset, nbytes) in enumerate(ranges):
        wanted.append(Wanted(offset, nbytes, at, row))
        expected.append(VALUE[offset : offset + nbytes])
        at += nbytes
    fetches = coalesce(wanted, most_bytes, most_places)
    assert np.array_equal(carried_out(fetches, at), np.concatenate(expected))
    assert sorted(row for fetch in fetches for row in fetch.rows) == list(range(len(ranges)))
    assert sum(fetch.nbytes for fetch in fetches) <= sum(nbytes for _, nbytes in ranges)
    assert all(len(fetch.places) <= most_places for fetch in fetches)
    assert all(fetch.nbytes <= most_bytes or len(fetch.places) == 1 for fetch in fetches)


def test_a_block_that_all_want_crosses_the_wire_once() -> None:
    (fetch,) = coalesce([Wanted(0, 4096, row * 4096, row) for row in range(16)], 1 << 30)
    assert (fetch.offset, fetch.nbytes, len(fetch.places), len(fetch.copies)) == (0, 4096, 1, 15)


@given(st.integers(0, 99), st.integers(0, 99), st.lists(st.integers(0, 999), min_size=1, max_size=20))
def test_the_short_way_gives_the_same(offset: int, nbytes: int, places: list[int]) -> None:
    wanted = [Wanted(offset, nbytes, place, row) for row, place in enumerate(places)]
    fetch = one_for_all(offset, nbytes, places, range(len(places)))
    assert [fetch._replace(rows=tuple(fetch.rows))] == coalesce(wanted, 1 << 30)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 500), st.integers(0, 40), st.integers(2, 20))
def test_buffers_next_to_each_other_are_copied_to_at_once(
    offset: int, nbytes: int, first: int, more: int, count: int
) -> None:
    places = range(first, first + count * (nbytes + more + 1), nbytes + more + 1)
    room = places[-1] + places.step
    fetch = one_for_all(offset, nbytes, places, range(count))
    assert len(fetch.copies) == 1
    one_by_one = coalesce([Wanted(offset, nbytes, place, row) for row, place in enumerate(places)], 1 << 30)
    assert np.array_equal(carried_out([fetch], room), carried_out(one_by_one, room))


def test_neighbours_are_one_wide_read_scattered_into_their_places() -> None:
    (fetch,) = coalesce([Wanted(row * 512, 512, (3 - row) * 512, row) for row in range(4)], 1 << 30)
    assert (fetch.nbytes, fetch.places) == (2048, ((1536, 512), (1024, 512), (512, 512), (0, 512)))


def test_what_overlaps_without_a_cover_is_fetched_by_itself() -> None:
    found = coalesce([Wanted(0, 100, 0, 0), Wanted(50, 100, 100, 1)], 1 << 30)
    assert [(fetch.offset, fetch.nbytes, fetch.copies) for fetch in found] == [(0, 100, ()), (50, 100, ())]
