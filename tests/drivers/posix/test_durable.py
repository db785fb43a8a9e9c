"""Durable writes, and what the page cache holds: looked up in the kernel, not in our own flags."""

import ctypes
import errno
import os
import struct

import numpy as np
import pytest

from kvscen.plugin import OK, WRITE, DriverError
from kvscen_drivers.posix import honesty
from tests.drivers.posix.support import BLOCK, do, fill, layout_of, open_store, rows

ENGINES = ["auto", "libaio", "threads"]
LAYOUTS = ["file", "lane", "block"]


def _dirty_bytes(path):
    """By cachestat: bytes that are in the page cache and not on the device."""
    asked, told = struct.pack("QQ", 0, 0), ctypes.create_string_buffer(40)
    given = ctypes.create_string_buffer(asked, 16)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if honesty._syscall(451, descriptor, ctypes.addressof(given), ctypes.addressof(told), 0) < 0:
            pytest.skip("a kernel without cachestat")
    finally:
        os.close(descriptor)
    _, dirty, writing, _, _ = struct.unpack("5Q", told)
    return (dirty + writing) * os.sysconf("SC_PAGESIZE")


def _files(folder):
    return sorted(folder.rglob("*.data"))


@pytest.fixture
def writes_back(tmp_path):
    """Skip where the temporary folder's file system has no dirty pages that a flush would write."""
    file = tmp_path / "try"
    file.write_bytes(bytes(8192))
    if not _dirty_bytes(file):
        pytest.skip("nothing stays dirty where the temporary folder is")
    descriptor = os.open(file, os.O_RDWR)
    os.fdatasync(descriptor)
    os.close(descriptor)
    if _dirty_bytes(file):
        pytest.skip("the temporary folder's file system is never clean")
    file.unlink()


@pytest.mark.usefixtures("writes_back")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [2, 8])
def test_each_write_is_durable_when_it_completes(tmp_path, engine, layout, count):
    for durability in ("each", "end"):
        folder = tmp_path / durability
        store = open_store(folder, engine=engine, layout=layout, durability=durability, threads=2)
        store.prepare(layout_of(8))
        fill(store, range(8))
        lane = store.lane(0, arena := store.allocate(8 * BLOCK, "dram"))
        arena.view[:] = np.random.PCG64(2).random_raw(arena.nbytes // 8).view(np.uint8)
        done = do(lane, rows(range(count), WRITE))
        assert (done["outcome"] == OK).all()
        if durability == "end":
            store.settle()
        assert sum(_dirty_bytes(file) for file in _files(folder)) == 0
        lane.close()
        store.close()


@pytest.mark.usefixtures("writes_back")
def test_laying_out_is_made_durable_at_once(tmp_path):
    store = open_store(tmp_path / "data", durability="each")
    store.prepare(layout_of(8))
    lane = store.lane(0, arena := store.allocate(8 * BLOCK, "dram"))
    do(lane, rows(range(8), WRITE))
    assert store._files.write_flags == 0, "each block by itself"
    store.settle()
    assert _dirty_bytes(tmp_path / "data/blocks.data") == 0
    do(lane, rows(range(8), WRITE))
    assert _dirty_bytes(tmp_path / "data/blocks.data") == 0
    lane.close()
    arena.close()
    store.close()


def test_the_path_says_so(tmp_path):
    store = open_store(tmp_path / "data", durability="each")
    assert "each write durable (RWF_DSYNC)" in store.path().evidence
    store.close()


def test_a_file_system_that_cannot_is_refused(tmp_path, monkeypatch):
    def refuse(descriptor, buffers, offset, flags=0):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "pwritev", refuse)
    with pytest.raises(DriverError, match="cannot make a single write durable") as refused:
        open_store(tmp_path / "data", durability="each")
    assert "`durability = end`" in refused.value.remedy


# ---- the page cache


@pytest.fixture
def evicts(tmp_path):
    file = tmp_path / "try"
    file.write_bytes(bytes(8192))
    descriptor = os.open(file, os.O_RDWR)
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    left = honesty.cached_bytes(descriptor, 0, 8192)
    os.close(descriptor)
    file.unlink()
    if left != 0:
        pytest.skip("nothing leaves the page cache where the temporary folder is, or nobody says")


@pytest.mark.usefixtures("evicts")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cold_or_warm_as_asked(tmp_path, layout):
    for cache, cached in (("keep", 8 * BLOCK), ("drop", 0)):
        store = open_store(tmp_path / cache, layout=layout, cache=cache, threads=2)
        store.prepare(layout_of(8))
        fill(store, range(8))
        store.reset()
        assert store.measures()["page_cache_before_bytes"] == cached
        fill(store, range(8))
        measured = store.measures()
        assert (measured["page_cache_before_bytes"], measured["page_cache_after_bytes"]) == (cached, 8 * BLOCK)
        store.close()


def test_direct_io_has_nothing_to_do_with_it(tmp_path):
    try:
        store = open_store(tmp_path / "data", direct=True)
    except DriverError as error:
        pytest.skip(str(error))
    store.prepare(layout_of(8))
    fill(store, range(8))
    store.reset()
    assert store.measures()["page_cache_before_bytes"] is None
    store.close()


@pytest.mark.usefixtures("evicts")
def test_mincore_says_what_cachestat_says(tmp_path, monkeypatch):
    file = tmp_path / "file"
    mib = 1 << 20
    file.write_bytes(os.urandom(8 * mib + 100))
    descriptor = os.open(file, os.O_RDWR)
    os.fdatasync(descriptor)
    os.posix_fadvise(descriptor, 4 * mib, 2 * mib, os.POSIX_FADV_DONTNEED)
    monkeypatch.setattr(honesty, "_MINCORE_BYTES", 3 * 4096)
    for first, end in ((0, 8 * mib), (3 * mib, 7 * mib), (4 * mib, 5 * mib), (6 * mib, 8 * mib), (mib, mib + 4096)):
        assert honesty._cached_by_mincore(descriptor, first, end) == honesty.cached_bytes(descriptor, first, end)
    told = honesty.cached_bytes(descriptor, 0, 8 * mib)
    assert told is not None and 6 * mib <= told < 8 * mib
    monkeypatch.setattr(honesty, "_CACHESTAT", 100_000)  # as on an older kernel
    assert honesty.cached_bytes(descriptor, 0, 8 * mib) == told
    os.close(descriptor)


def test_what_nobody_says_is_null(tmp_path, monkeypatch):
    monkeypatch.setattr(honesty, "cached_bytes", lambda *arguments: None)
    store = open_store(tmp_path / "data")
    store.prepare(layout_of(8))
    store.reset()
    assert store.measures()["page_cache_before_bytes"] is None
    store.close()


# ---- buffers


def test_pages_are_what_was_asked_for_or_what_there_is(tmp_path):
    store = open_store(tmp_path / "data", buffers="small")
    assert store.allocate(4 << 20, "dram").pages == "small"
    store.close()
    store = open_store(tmp_path / "data", buffers="huge")
    assert store.allocate(4 << 20, "dram").pages in ("huge", "mixed", "small", "unknown")
    store.close()
