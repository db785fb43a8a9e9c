"""The engines: what is chosen and why, what fails, what is never lost."""

import errno
import os
import re
import signal
import time

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, ERROR, OK, OPERATION, READ, WRITE, DriverError
from kvscen_drivers.posix import aio, uring
from kvscen_drivers.posix import lane as lane_module
from tests.drivers.posix.support import BLOCK, child, do, fill, layout_of, open_store, rows

needs_uring = pytest.mark.skipif(uring.why_not() is not None, reason=f"no io_uring: {uring.why_not()}")
needs_aio = pytest.mark.skipif(aio.why_not() is not None, reason=f"no native AIO: {aio.why_not()}")
QUEUES = [pytest.param("io_uring", marks=needs_uring), pytest.param("libaio", marks=needs_aio)]
ENGINES = [*QUEUES, "threads"]

# A child in which io_uring_setup (425) fails with the errno of argv[3]: a seccomp filter returns SECCOMP_RET_ERRNO.
WITHOUT_URING = """
import ctypes, struct, sys
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from kvscen.plugin import DriverError, Tier, Work
program = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0),
    (0x15, 0, 1, 425),
    (0x06, 0, 0, 0x00050000 | int(sys.argv[3])),
    (0x06, 0, 0, 0x7FFF0000),
])
held = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("lines", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
if libc.prctl(38, 1, None, 0, 0) or libc.prctl(22, 2, ctypes.byref(Filter(4, ctypes.addressof(held))), 0, 0):
    print("no seccomp")
    sys.exit()
try:
    store = PosixDriver().open(Tier("disk", "posix", PosixSettings(path=sys.argv[1], direct=False, engine=sys.argv[2])),
                               Work(op="read", block_bytes=4096, batch=1, keys=1), ())
except DriverError as error:
    print(error, "|", error.remedy)
else:
    print(store.path().evidence)
"""


def _without_uring(path, engine, code):
    said, errors = child(WITHOUT_URING, path, engine, code).communicate(timeout=30)
    if "no seccomp" in said:
        pytest.skip("no seccomp here")
    assert not errors
    return said


@needs_uring
def test_auto_takes_io_uring(tmp_path):
    store = open_store(tmp_path / "data")
    assert store.path().evidence.endswith("io_uring")
    assert store.measures()["engine"] == "io_uring"
    assert store.measures()["engine_reason"] is None  # nothing to say: no column in the table
    store.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_asked_for_needs_no_reason(tmp_path, engine):
    store = open_store(tmp_path / "data", engine=engine)
    assert (store.measures()["engine"], store.measures()["engine_reason"]) == (engine, None)
    assert store.path().evidence.endswith(engine)
    store.close()


@needs_aio
@pytest.mark.parametrize("direct", [True, False])
def test_without_io_uring_libaio_is_for_direct_io(tmp_path, monkeypatch, direct):
    monkeypatch.setattr(uring, "why_not", lambda: "the kernel has no io_uring")
    try:
        store = open_store(tmp_path / "data", direct=direct)
    except DriverError as error:
        pytest.skip(str(error))
    if direct:
        assert store.path().evidence.endswith("libaio, as the kernel has no io_uring")
    else:
        assert store.path().evidence.endswith(
            "threads, as the kernel has no io_uring, and libaio waits for buffered I/O"
        )
    store.prepare(layout_of(8))
    fill(store, range(8))
    assert list(store.prepare(layout_of(8))) == []
    store.close()
    monkeypatch.setattr(aio, "why_not", lambda: "native AIO is not permitted here")
    store = open_store(tmp_path / "data", direct=direct)
    assert store.measures()["engine"] == "threads"
    store.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EPERM, "io_uring is (switched off|not permitted here)"),
        (errno.ENOSYS, "the kernel has no io_uring"),
        (errno.ENOMEM, "ulimit -l"),
    ],
)
def test_without_io_uring_auto_falls_back_and_says_why(tmp_path, code, reason):
    assert re.search(f"threads, as .*{reason}", _without_uring(tmp_path / "data", "auto", code))


def test_without_io_uring_asking_for_it_is_an_error(tmp_path):
    said = _without_uring(tmp_path / "data", "io_uring", errno.EPERM)
    assert "tier `disk` asks for io_uring: io_uring is" in said
    assert "| use `engine = threads`" in said
    assert not (tmp_path / "data").exists()


def _instead(store, descriptor):
    """Put this descriptor in the place of the data file's."""
    store._files.descriptors = np.array([descriptor], np.int32)
    return descriptor


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [2, 8])
def test_short_reads_and_failures_are_errors_with_the_bytes_moved(tmp_path, engine, count):
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    end = (count - 1) * BLOCK + 1000
    os.truncate(tmp_path / "data/blocks.data", end)  # somebody spoils the file under us
    done = do(lane, rows(range(count), READ))
    assert (done["outcome"][:-1] == OK).all()
    last = done[-1]
    assert (last["outcome"], last["errno"], last["bytes"]) == (ERROR, errno.EIO, 1000)
    os.truncate(tmp_path / "data/blocks.data", end - 1000)
    last = do(lane, rows(range(count), READ))[-1]
    assert (last["outcome"], last["errno"], last["bytes"]) == (ERROR, errno.EIO, 0)
    lane.close()
    store.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_bad_operation_among_many_fails_alone(tmp_path, engine):
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    for count in (3, 8):
        for field, value in (("key", 99), ("offset", 2**63), ("bytes", 2**40), ("buffer", 2**64 - 8), ("kind", 2)):
            ops = rows(range(count), READ)
            ops[field][1] = value
            done = do(lane, ops)
            assert done["outcome"].tolist() == [OK, ERROR] + [OK] * (count - 2), field
            assert done["errno"][1] == errno.EINVAL
            assert done["bytes"][1] == 0
    lane.close()
    store.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_kernel_refuses_is_the_operations_error(tmp_path, engine):
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    fill(store, range(8))
    readable = _instead(store, os.open(tmp_path / "data/blocks.data", os.O_RDONLY))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    for count in (2, 8):
        ops = rows(range(count), READ)
        ops["kind"][1::2] = WRITE
        done = do(lane, ops)
        assert done["outcome"].tolist() == [OK, ERROR] * (count // 2)
        assert done["errno"].tolist() == [0, errno.EBADF] * (count // 2)
    lane.close()
    os.close(readable)
    store.close()


@pytest.mark.parametrize("engine", [ENGINES[0], "threads"])  # native AIO does not take /dev/full
def test_a_full_device_is_the_operations_error(tmp_path, engine, monkeypatch):
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    full = _instead(store, os.open("/dev/full", os.O_RDWR))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    for count in (1, 8):
        done = do(lane, rows(range(count), WRITE))
        assert (done["outcome"] == ERROR).all()
        assert (done["errno"] == errno.ENOSPC).all()
    lane.close()
    os.close(full)
    store.close()


@pytest.mark.parametrize("engine", QUEUES)
def test_who_only_looks_sees_what_has_finished(tmp_path, engine):
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    lane.submit(rows(range(8), READ))
    out, found = np.zeros(8, COMPLETION), 0
    deadline = time.monotonic() + 20
    while found < 8 and time.monotonic() < deadline:
        found += lane.reap(out[found:], 0, 0)
    assert found == 8
    lane.close()
    store.close()


@pytest.mark.parametrize("engine", QUEUES)
def test_signals_lose_nothing(tmp_path, engine):
    """System calls made by ctypes see EINTR: Python does not repeat them."""
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(64))
    fill(store, range(64))
    arena = store.allocate(64 * BLOCK, "dram")
    lane = store.lane(0, arena)
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(20):
            done = do(lane, rows(range(64), READ))
            assert (done["outcome"] == OK).all()
        start = time.monotonic()
        assert lane.reap(np.zeros(1, COMPLETION), 1, 30_000_000) == 0
        assert time.monotonic() - start >= 0.029, "a signal cut the wait short"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rang
    lane.close()
    store.close()


@pytest.mark.parametrize("engine", [ENGINES[0], "threads"])  # native AIO waits for a pipe when it is submitted
@pytest.mark.parametrize("count", [1, 8])
def test_what_hangs_neither_blocks_reap_nor_close(tmp_path, monkeypatch, engine, count):
    monkeypatch.setattr(lane_module, "_CLOSE_NS", 20_000_000)
    monkeypatch.setattr("kvscen.plugin.threads._CLOSE_S", 0.02)
    if engine == "threads" and count == 1:
        pytest.skip("one operation runs in the thread that reaps")
    store = open_store(tmp_path / "data", engine=engine)
    store.prepare(layout_of(8))
    reader, writer = os.pipe()
    _instead(store, reader)
    monkeypatch.setattr(os, "preadv", lambda file, views, at: os.readv(file, views))  # a pipe has no offsets
    lane = store.lane(0, store.allocate(8 * BLOCK, "dram"))
    ops = np.zeros(count, OPERATION)
    ops["bytes"], ops["id"] = 16, np.arange(count)
    assert lane.submit(ops) == count
    assert lane.reap(np.zeros(8, COMPLETION), 1, 1_000_000) == 0
    lane.close()
    lane.close()
    os.close(writer)
    os.close(reader)
    store.close()


@needs_uring
def test_a_ring_that_the_kernel_refuses_is_a_sentence(tmp_path, monkeypatch):
    store = open_store(tmp_path / "data", engine="io_uring")
    arena = store.allocate(BLOCK, "dram")

    def refuse(depth):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(uring, "Ring", refuse)
    with pytest.raises(DriverError, match="tier `disk`, lane 0: no memory for io_uring's rings") as refused:
        store.lane(0, arena)
    assert "threads" in refused.value.remedy
    store.close()
