"""Where blocks lie: one place for a key, whoever asks, and no place for two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvscen.pattern.order import Keys, share
from kvscen.plugin import OPERATION, READ, WRITE, Layout
from kvscen_drivers.posix.places import Area, lane_shares
from tests.drivers.posix.support import BLOCK, do, fill, layout_of, open_store, rows

KINDS = ["file", "lane", "block"]
sizes = st.integers(1, 5)


@given(st.integers(1, 60), sizes, sizes)
def test_lanes_own_what_the_core_gives_them(keys, processes, threads):
    """The first lane that is given a key owns it."""
    wanted = {}
    for process in range(processes):
        mine = share(keys, processes, process)
        for thread in range(threads):
            part = share(mine.count, threads, thread)
            lane = Keys(mine.first + part.first, part.count)
            for key in range(lane.first, lane.first + lane.count):
                wanted.setdefault(key, process * threads + thread)
    found = {key: lane for lane, start, end in lane_shares(keys, processes, threads) for key in range(start, end)}
    assert found == wanted


@given(st.sampled_from(KINDS), st.integers(1, 60), sizes, sizes, st.data())
def test_every_way_to_ask_for_a_place_gives_the_same_one(kind, keys, processes, threads, data):
    process = data.draw(st.integers(0, processes - 1))
    mine = share(keys, processes, process)
    area = Area(kind, processes, threads)
    area.place(Layout(mine.count, 3000, 4096, mine.first, keys))
    spots = {key: area.spot(key) for key in range(keys)}
    assert len(set(spots.values())) == keys, "two blocks in one place"
    ops = np.zeros(mine.count, OPERATION)
    ops["key"], ops["offset"] = np.arange(mine.first, mine.first + mine.count), 512
    numbers, offsets = area.spots(ops)
    numbers = np.broadcast_to(numbers, offsets.shape)
    for op, number, offset in zip(ops, numbers, offsets, strict=True):
        number_, first = spots[int(op["key"])]
        assert (int(number), int(offset)) == (number_, first + 512) == area.find(int(op["key"]), 512, 10)
    listed = [
        (key, (piece.number, piece.first + 4096 * (key - piece.first_key)))
        for piece in area.pieces(mine.first, mine.count)
        for key in range(piece.first_key, piece.first_key + piece.keys)
    ]
    assert listed == [(key, spots[key]) for key in range(mine.first, mine.first + mine.count)]
    assert all((piece.end - piece.first) == 4096 * piece.keys for piece in area.pieces(0, keys))


def test_the_names_of_the_files():
    assert Area("file").name(0) == "blocks.data"
    assert Area("lane", 2, 3).name(5) == "lanes/5.data"
    assert Area("block").name(12_345) == "blocks/12/12345.data"


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_has_a_name_for_people(tmp_path, kind):
    store = open_store(tmp_path / "data", layout=kind, keys=8, threads=2)
    store.prepare(layout_of(8))
    said = {
        "file": f"blocks.data at {6 * BLOCK}",
        "lane": f"lanes/1.data at {2 * BLOCK}",
        "block": "blocks/0/6.data at 0",
    }
    assert store.locate(6) == f"{tmp_path}/data/{said[kind]}"
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_reads_what_another_lane_wrote(tmp_path, kind):
    """As verification does where lanes share keys, and the layout of the data, which one lane writes."""
    store = open_store(tmp_path / "data", layout=kind, threads=3)
    assert list(store.prepare(layout_of(8))) == list(range(8))
    fill(store, range(8))
    arena = store.allocate(8 * BLOCK, "dram")
    wanted = np.random.PCG64(1).random_raw(arena.nbytes // 8).view(np.uint8)
    for index in range(3):
        lane = store.lane(index, arena)
        arena.view[:] = 0
        assert (do(lane, rows(range(8), READ))["outcome"] == 0).all()
        assert np.array_equal(arena.view, wanted)
        lane.close()
    store.close()


@pytest.mark.parametrize("kind", ["lane", "block"])
def test_data_is_found_again(tmp_path, kind):
    store = open_store(tmp_path / "data", layout=kind, threads=2)
    store.prepare(layout_of(8))
    fill(store, range(8))
    store.close()
    again = open_store(tmp_path / "data", layout=kind, threads=2)
    assert list(again.prepare(layout_of(8))) == []
    assert list(again.prepare(layout_of(10))) == ([8, 9] if kind == "block" else [4, 9])
    again.close()


def test_only_the_worker_of_a_key_makes_its_file(tmp_path):
    first = open_store(tmp_path / "data", layout="block", processes=2)
    assert list(first.prepare(Layout(4, BLOCK, BLOCK, 0, 8))) == [0, 1, 2, 3]
    assert sorted(int(file.stem) for file in (tmp_path / "data/blocks/0").iterdir()) == [0, 1, 2, 3]
    second = open_store(tmp_path / "data", layout="block", processes=2)
    assert list(second.prepare(Layout(4, BLOCK, BLOCK, 4, 8))) == [4, 5, 6, 7]
    fill(first, range(4))
    fill(second, range(4, 8))
    assert list(second.prepare(Layout(8, BLOCK, BLOCK, 0, 8))) == []
    first.close()
    second.close()


def test_writes_go_to_the_files_of_their_blocks_only(tmp_path):
    store = open_store(tmp_path / "data", layout="block")
    store.prepare(layout_of(8))
    fill(store, range(8))
    before = {key: (tmp_path / f"data/blocks/0/{key}.data").read_bytes() for key in range(8)}
    arena = store.allocate(BLOCK, "dram")
    arena.view[:] = 7
    lane = store.lane(0, arena)
    do(lane, rows([5], WRITE))
    after = {key: (tmp_path / f"data/blocks/0/{key}.data").read_bytes() for key in range(8)}
    assert [key for key in range(8) if after[key] != before[key]] == [5]
    assert after[5] == bytes([7]) * BLOCK
    lane.close()
    store.close()
