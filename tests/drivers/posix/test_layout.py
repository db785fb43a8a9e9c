"""Which blocks hold data: what the file system says, never the size of the file."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.plugin import READ, DriverError, Layout
from kvscen_drivers.posix import layout
from kvscen_drivers.posix.places import Piece
from tests.drivers.posix.support import BLOCK, do, fill, layout_of, open_store, rows

METHODS = ["extents", "seek", "record"]


@pytest.fixture(params=METHODS)
def method(request, tmp_path, monkeypatch):
    """Each way to learn what is written, whatever the file system of the temporary folder would take."""
    found = _method_here(tmp_path)
    if METHODS.index(request.param) < METHODS.index(found):
        pytest.skip(f"the file system of the temporary folder has no {request.param}")
    monkeypatch.setattr(layout, "method_for", lambda descriptor: request.param)
    return request.param


def _method_here(folder):
    descriptor = os.open(folder / "scratch", os.O_RDWR | os.O_CREAT)
    try:
        return layout.method_for(descriptor)
    finally:
        os.close(descriptor)
        (folder / "scratch").unlink()


def test_nothing_is_there_at_first_and_all_of_it_after_writing(tmp_path, method):
    store = open_store(tmp_path / "data")
    assert list(store.prepare(layout_of(8))) == list(range(8))
    assert list(store.prepare(layout_of(8))) == list(range(8)), "making room is not writing"
    fill(store, range(8))
    assert list(store.prepare(layout_of(8))) == []
    store.close()


def test_data_is_found_again_and_grows(tmp_path, method):
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(8))
    fill(store, range(8))
    store.close()
    again = open_store(tmp_path / "data")
    assert list(again.prepare(layout_of(12))) == [8, 9, 10, 11]
    fill(again, range(8, 12))
    assert list(again.prepare(layout_of(4))) == []
    assert list(again.prepare(layout_of(12))) == []
    assert (tmp_path / "data/blocks.data").stat().st_size == 12 * BLOCK
    again.close()


def test_all_strides_share_the_data(tmp_path, method):
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(8))
    fill(store, range(8))
    assert list(store.prepare(layout_of(16 * 8, 4096))) == []
    assert list(store.prepare(layout_of(3, 3 * BLOCK))) == [2]
    store.close()


def test_workers_prepare_their_own_keys(tmp_path, method):
    first, second = open_store(tmp_path / "data"), open_store(tmp_path / "data")
    assert list(second.prepare(layout_of(4, first=4))) == [4, 5, 6, 7]
    assert list(first.prepare(layout_of(4))) == [0, 1, 2, 3]
    assert (tmp_path / "data/blocks.data").stat().st_size == 8 * BLOCK, "the file never shrinks"
    fill(first, range(4))
    assert list(second.prepare(layout_of(4, first=4))) == [4, 5, 6, 7]
    fill(second, range(4, 8))
    assert list(first.prepare(layout_of(8))) == []
    first.close()
    second.close()


def test_what_is_only_partly_written_is_missing(tmp_path):
    if _method_here(tmp_path) == "record":
        pytest.skip("the file system of the temporary folder does not say what is written")
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(8))
    fill(store, [1, 2, 5])
    with (tmp_path / "data/blocks.data").open("r+b") as file:
        file.seek(6 * BLOCK)
        file.write(os.urandom(BLOCK // 2))
    assert list(store.prepare(layout_of(8))) == [0, 3, 4, 6, 7]
    store.close()


def test_reserved_space_is_not_data(tmp_path):
    if _method_here(tmp_path) != "extents":
        pytest.skip("the file system of the temporary folder has no extents")
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(4))
    descriptor = os.open(tmp_path / "data/blocks.data", os.O_RDWR)
    os.posix_fallocate(descriptor, 0, 8 * BLOCK)
    holding = layout.holding_by_extents(descriptor, 0, 8 * BLOCK)
    os.close(descriptor)
    assert holding.written == []
    assert layout.uncovered(0, 8 * BLOCK, holding.allocated) == 0
    assert list(store.prepare(layout_of(8))) == list(range(8))
    store.close()


def test_dirty_data_is_written_back_before_it_counts(tmp_path):
    if _method_here(tmp_path) != "extents":
        pytest.skip("the file system of the temporary folder has no extents")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(BLOCK))
    descriptor = os.open(path, os.O_RDWR)
    assert layout.holding_by_extents(descriptor, 0, BLOCK).written == [(0, BLOCK)]
    os.close(descriptor)


def test_many_extents_are_all_found(tmp_path, monkeypatch):
    if _method_here(tmp_path) != "extents":
        pytest.skip("the file system of the temporary folder has no extents")
    monkeypatch.setattr(layout, "_EXTENTS", 3)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for piece in range(0, 40, 2):
        os.pwrite(descriptor, os.urandom(4096), piece * 4096)
    wanted = [(piece * 4096, piece * 4096 + 4096) for piece in range(0, 40, 2)]
    assert layout.holding_by_extents(descriptor, 0, 40 * 4096).written == wanted
    os.close(descriptor)


def test_a_torn_record_means_writing_again(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "method_for", lambda descriptor: "record")
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(4))
    fill(store, range(4))
    (tmp_path / "data" / layout.RECORD).write_text('{"written": [[0, 26')
    assert list(store.prepare(layout_of(4))) == [0, 1, 2, 3]
    store.close()


def test_keys_that_are_written_are_readable(tmp_path, method):
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    done = do(lane, rows(range(8), READ))
    assert (done["bytes"] == BLOCK).all()
    assert arena.view.any()
    lane.close()
    store.close()


def test_too_little_space_says_how_much_is_missing(tmp_path):
    if _free(tmp_path) > 1 << 40:
        pytest.skip("a very large disk")
    store = open_store(tmp_path / "data")
    with pytest.raises(
        DriverError, match=rf"needs 1 TiB in {tmp_path}/data, where .* are free: .* are missing"
    ) as refused:
        store.prepare(layout_of((1 << 40) // BLOCK))
    assert "working_set" in refused.value.remedy
    assert (tmp_path / "data/blocks.data").stat().st_size == 0
    store.close()


def _free(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_a_block_beyond_one_call_is_refused(tmp_path):
    store = open_store(tmp_path / "data")
    with pytest.raises(DriverError, match=r"a block of 2147483648 bytes is more than the 2147479552 that Linux moves"):
        store.prepare(Layout(1, 1 << 31, 1 << 31, 0, 1))
    store.close()


# ---- arithmetic

ranges = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=12).map(
    lambda pieces: [(first, first + length) for first, length in pieces]
)


@given(ranges, st.integers(0, 20), st.integers(0, 40), st.integers(1, 9), st.integers(0, 4))
def test_keys_missing_against_brute_force(pieces, first, keys, block, padding):
    stride = block + padding
    written = layout.merged(pieces)
    held = {byte for start, end in written for byte in range(start, end)}
    wanted = [key for key in range(first, first + keys) if not set(range(key * stride, key * stride + block)) <= held]
    piece = Piece(0, first, keys, first * stride, (first + keys) * stride)
    found = layout.keys_missing(piece, Layout(keys, block, stride, first, first + keys), written)
    assert [int(key) for key in found] == wanted


@given(ranges, st.integers(0, 350), st.integers(0, 350))
def test_ranges_against_brute_force(pieces, first, length):
    held = {byte for start, end in pieces for byte in range(start, end)}
    joined = layout.merged(pieces)
    assert {byte for start, end in joined for byte in range(start, end)} == held
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(joined))
    span = set(range(first, first + length))
    assert layout.uncovered(first, first + length, joined) == len(span - held)
    assert layout.merged(pieces, 100) == layout.merged([(a, min(b, 100)) for a, b in joined if a < 100])
