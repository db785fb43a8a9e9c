"""The kernel's queues by themselves: registered memory, partial submission, what the kernel refuses."""

import errno
import os

import numpy as np
import pytest

from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError
from kvscen_drivers.posix import aio, uring
from tests.drivers.posix.support import BLOCK, do, fill, layout_of, open_store, rows

needs_uring = pytest.mark.skipif(uring.why_not() is not None, reason=f"no io_uring: {uring.why_not()}")
needs_aio = pytest.mark.skipif(aio.why_not() is not None, reason=f"no native AIO: {aio.why_not()}")


@needs_uring
def test_much_memory_is_registered_in_pieces(tmp_path, monkeypatch):
    """1 GiB at a time; here 3.5 blocks. Every block lies in one piece, wherever its buffer is."""
    monkeypatch.setattr(uring, "_MAX_REGISTERED", 7 * BLOCK // 2)
    store = open_store(tmp_path / "data", engine="io_uring", registered=True)
    store.prepare(layout_of(16))
    arena = store.allocate(16 * BLOCK, "dram")
    wanted = np.random.PCG64(3).random_raw(arena.nbytes // 8).view(np.uint8)
    lane = store.lane(0, arena)
    for count in (1, 16):
        arena.view[:] = wanted
        for first in range(0, 16, count):
            ops = rows(range(first, first + count), WRITE)
            ops["buffer"] = ops["key"] * BLOCK
            assert (do(lane, ops)["outcome"] == OK).all()
        arena.view[:] = 0
        ops = rows(range(16), READ)
        assert (do(lane, ops)["outcome"] == OK).all()
        assert np.array_equal(arena.view, wanted)
    lane.close()
    store.close()


@needs_uring
@pytest.mark.parametrize(
    ("layout", "said"), [("file", "registered buffers and files"), ("block", "registered buffers,")]
)
def test_what_is_registered_is_said(tmp_path, layout, said):
    store = open_store(tmp_path / "data", engine="io_uring", registered=True, layout=layout)
    assert said in store.path().evidence
    store.close()


@needs_uring
def test_memory_that_may_not_be_locked_is_a_sentence(tmp_path, monkeypatch):
    def refuse(self, *arguments):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(uring.Ring, "register_buffers", refuse)
    store = open_store(tmp_path / "data", engine="io_uring", registered=True)
    with pytest.raises(DriverError, match="io_uring does not register 64 KiB of buffers: Cannot allocate") as refused:
        store.lane(0, store.allocate(BLOCK, "dram"))
    assert "ulimit -l" in refused.value.remedy
    store.close()


@needs_uring
def test_an_older_kernel_gives_a_ring_without_cooperation(monkeypatch):
    asked = []
    real = uring._syscall

    def older(number, *arguments):
        if number == uring._SETUP:
            flags = np.ctypeslib.as_array((uring.ctypes.c_uint32 * 30).from_address(arguments[1]))[2]
            asked.append(int(flags))
            if flags:
                uring.ctypes.set_errno(errno.EINVAL)
                return -1
        return real(number, *arguments)

    monkeypatch.setattr(uring, "_syscall", older)
    assert uring.why_not() is None
    assert asked == [uring._COOPERATIVE, 0]


@needs_aio
@pytest.mark.parametrize("piece", [1, 2, 3])
def test_a_kernel_that_takes_a_part_gets_the_rest_later(tmp_path, monkeypatch, piece):
    store = open_store(tmp_path / "data", engine="libaio", max_in_flight=10)
    store.prepare(layout_of(40, 4096))
    fill(store, range(40), 4096)
    real, taken = aio._syscall, []

    def few(number, context, count, *rest):
        if number == aio._numbers()[3]:
            taken.append(min(count, piece))
            if len(taken) % 4 == 0:  # and now and then nothing at all
                aio.ctypes.set_errno(errno.EAGAIN)
                return -1
            count = min(count, piece)
        return real(number, context, count, *rest)

    arena = store.allocate(40 * 4096, "dram")
    lane = store.lane(0, arena)
    monkeypatch.setattr(aio, "_syscall", few)
    for _ in range(3):
        arena.view[:] = 0
        assert (do(lane, rows(range(40), READ, 4096))["outcome"] == OK).all()
        assert np.array_equal(arena.view, np.random.PCG64(1).random_raw(arena.nbytes // 8).view(np.uint8))
    assert len(taken) > 40 // piece
    lane.close()
    store.close()


@needs_aio
def test_one_that_the_kernel_does_not_start_does_not_stop_the_others(tmp_path):
    store = open_store(tmp_path / "data", engine="libaio", layout="lane", threads=2)
    store.prepare(layout_of(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    store._files.descriptors = np.array([store._files.descriptors[0], 1_000_000], np.int32)
    lane = store.lane(0, arena)
    done = do(lane, rows([0, 7, 1, 6, 2, 5, 3, 4], READ))
    assert done["outcome"].tolist() == [OK, ERROR] * 4
    assert set(done["errno"][1::2].tolist()) == {errno.EBADF}
    lane.close()
    store.close()


@needs_aio
def test_requests_that_are_all_in_use_are_a_sentence(tmp_path, monkeypatch):
    store = open_store(tmp_path / "data", engine="libaio")

    def refuse(entries):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(aio, "Context", refuse)
    with pytest.raises(DriverError, match=r"lane 0: all native AIO requests .* \(sysctl fs.aio-max-nr\)"):
        store.lane(0, store.allocate(BLOCK, "dram"))
    store.close()
