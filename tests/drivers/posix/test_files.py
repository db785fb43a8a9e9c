"""The open files: bounded, never closed in use, made durable, and missed when somebody takes them away."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError
from kvscen_drivers.posix import files as files_module
from kvscen_drivers.posix.files import Files
from kvscen_drivers.posix.places import Area
from tests.drivers.posix.support import BLOCK, child, do, fill, layout_of, open_store, rows

ENGINES = ["auto", "libaio", "threads"]


@pytest.fixture
def files(tmp_path):
    area = Area("block")
    area.place(layout_of(20))
    files = Files(tmp_path, area, 0, keep=3)
    for number in range(20):
        files.create(number)
    yield files
    files.close()


def _is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _open_here():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_those_used_last_stay_open(files):
    descriptors = []
    for number in range(5):
        descriptors.append(files.acquire(number))
        files.release(number)
    assert list(files._open) == [2, 3, 4]
    assert files.acquire(2) == descriptors[2]
    files.release(2)
    files.acquire(9)
    files.release(9)
    assert list(files._open) == [4, 2, 9]


def test_a_file_in_use_is_never_closed(files):
    held = [files.acquire(number) for number in range(8)]
    assert all(_is_open(descriptor) for descriptor in held), "more in use than are kept"
    assert [os.fstat(held[n]).st_ino for n in range(8)] == [files.path(n).stat().st_ino for n in range(8)]
    for number in range(8):
        files.release(number)
    assert len(files._open) == 3


def test_many_threads_at_once(files):
    failures = []

    def use(seed):
        choose = np.random.default_rng(seed)
        try:
            for number in choose.integers(0, 20, 300).tolist():
                with files.using(number) as descriptor:
                    assert os.fstat(descriptor).st_ino == files.path(number).stat().st_ino
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(files._open) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_more_blocks_than_open_files(tmp_path, engine):
    store = open_store(tmp_path / "data", layout="block", open_files=4, engine=engine, depth=8)
    store.prepare(layout_of(60, 4096))
    fill(store, range(60), 4096)
    before = _open_here()
    arena = store.allocate(60 * 4096, "dram")
    lane = store.lane(0, arena)
    for _ in range(3):
        assert (do(lane, rows(range(60), READ, 4096))["outcome"] == OK).all()
    assert np.array_equal(arena.view, np.random.PCG64(1).random_raw(arena.nbytes // 8).view(np.uint8))
    assert len(store._files._open) <= 4
    lane.close()
    assert _open_here() <= before + 4
    store.close()


LIMIT = """
import resource, sys
from kvscen_drivers.posix.files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
print(allow_open_files(50), allow_open_files(200), allow_open_files(1000), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes():
    said, errors = child(LIMIT).communicate(timeout=30)
    assert not errors
    assert said == "50 200 300 (300, 300)\n"


def test_more_lanes_than_files_may_be_open_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "allow_open_files", lambda wanted: 100)
    with pytest.raises(DriverError, match="64 files, one for each lane, are more than the 100") as refused:
        open_store(tmp_path / "data", layout="lane", threads=8, processes=8)
    assert "ulimit -n" in refused.value.remedy


def test_too_many_open_files_are_the_operations_error(tmp_path, monkeypatch):
    store = open_store(tmp_path / "data", layout="block")
    store.prepare(layout_of(8))
    fill(store, range(8))
    store._files.close()

    def refuse(path, *rest):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    lane = store.lane(0, store.allocate(8 * BLOCK, "dram"))
    monkeypatch.setattr(files_module.os, "open", refuse)
    done = do(lane, rows(range(8), READ))
    assert (done["outcome"] == ERROR).all() and (done["errno"] == errno.EMFILE).all()
    monkeypatch.undo()
    assert (do(lane, rows(range(8), READ))["outcome"] == OK).all(), "the slots of those that failed are free again"
    lane.close()
    store.close()


def test_all_files_that_were_written_are_made_durable(tmp_path, monkeypatch):
    store = open_store(tmp_path / "data", layout="block", open_files=2)
    store.prepare(layout_of(40, 4096))
    fill(store, range(40), 4096)
    synced = []
    real = os.fdatasync

    def note(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(files_module.os, "fdatasync", note)
    store.settle()
    assert synced == [], "nothing was written since"
    lane = store.lane(0, store.allocate(40 * 4096, "dram"))
    do(lane, rows(range(3, 33), WRITE, 4096))
    store.settle()
    assert sorted(synced) == sorted((tmp_path / f"data/blocks/0/{key}.data").stat().st_ino for key in range(3, 33))
    lane.close()
    store.close()


# ---- files that somebody spoils


def _spoiled(tmp_path, layout):
    store = open_store(tmp_path / "data", layout=layout, threads=2)
    store.prepare(layout_of(8))
    fill(store, range(8))
    store.reset()
    store.check()
    names = {"file": "blocks.data", "lane": "lanes/1.data", "block": "blocks/0/5.data"}
    return store, tmp_path / "data" / names[layout]


@pytest.mark.parametrize("layout", ["file", "lane", "block"])
def test_a_truncated_file_is_noticed(tmp_path, layout):
    store, file = _spoiled(tmp_path, layout)
    size = file.stat().st_size
    os.truncate(file, size - 100)
    for look in (store.check, store.reset):
        with pytest.raises(DriverError, match=f"{file} was truncated while the run goes on: it ends at {size - 100}"):
            look()
    store.close()


@pytest.mark.parametrize("layout", ["file", "lane", "block"])
def test_a_replaced_file_is_noticed(tmp_path, layout):
    store, file = _spoiled(tmp_path, layout)
    other = tmp_path / "other"
    other.write_bytes(file.read_bytes())
    other.replace(file)
    for look in (store.check, store.reset):
        with pytest.raises(DriverError, match=f"{file} was replaced by another file") as refused:
            look()
    assert refused.value.remedy
    store.close()


@pytest.mark.parametrize("layout", ["file", "lane", "block"])
def test_a_file_that_is_gone_is_noticed(tmp_path, layout):
    store, file = _spoiled(tmp_path, layout)
    file.unlink()
    for look in (store.check, store.reset):
        with pytest.raises(DriverError, match=f"{file} is gone while the run goes on: No such file"):
            look()
    store.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_that_is_gone_is_the_operations_error(tmp_path, engine):
    store = open_store(tmp_path / "data", layout="block", engine=engine)
    store.prepare(layout_of(8))
    fill(store, range(8))
    store._files.close()  # as if the others had been used since
    (tmp_path / "data/blocks/0/3.data").unlink()
    lane = store.lane(0, store.allocate(8 * BLOCK, "dram"))
    done = do(lane, rows(range(8), READ))
    assert done["outcome"].tolist() == [OK] * 3 + [ERROR] + [OK] * 4
    assert done["errno"][3] == errno.ENOENT
    done = do(lane, rows([3], WRITE))
    assert done["errno"][0] == errno.ENOENT, "a file that is gone is not made again"
    assert not (tmp_path / "data/blocks/0/3.data").exists()
    lane.close()
    store.close()
