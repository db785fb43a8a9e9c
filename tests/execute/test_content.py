"""Stamped content: no two sectors alike, every wrong byte found, and the mismatch says what it is."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from kvscen.execute.content import SECTOR_BYTES, Stamped, content
from kvscen.plugin import COMPLETION, OPERATION, READ, WRITE, Arena

BLOCK = 4096 * 3
KEYS = 8


class Disk:
    """Blocks as a driver would keep them, filled by a stamped pass and read back by another."""

    def __init__(self, block: int = BLOCK) -> None:
        self.block = block
        self.arena = Arena()
        self.arena.view = np.zeros(block, np.uint8)
        self.stamped = Stamped(self.arena, 99, 100, np.zeros(KEYS, np.uint64))
        self.blocks: dict[int, np.ndarray] = {}

    def op(self, key: int, kind: int) -> np.ndarray:
        op = np.zeros(1, OPERATION)
        op["key"], op["kind"], op["bytes"] = key, kind, self.block
        return op

    def write(self, key: int) -> None:
        op = self.op(key, WRITE)
        self.stamped.before(op)
        self.blocks[key] = self.arena.view.copy()
        self.stamped.after(op, np.zeros(1, COMPLETION))

    def read(self, key: int, lost: bool = False) -> str:
        op = self.op(key, READ)
        self.stamped.before(op)
        if not lost:
            self.arena.view[:] = self.blocks[key]
        self.stamped.after(op, np.zeros(1, COMPLETION))
        return self.stamped.mismatch


@pytest.fixture
def disk() -> Disk:
    disk = Disk()
    for key in range(100, 100 + KEYS):
        disk.write(key)
    return disk


def test_what_was_written_is_verified(disk: Disk) -> None:
    assert all(disk.read(key) == "" for key in disk.blocks)
    assert disk.stamped.verified_bytes == KEYS * BLOCK


@pytest.mark.parametrize("block", [100, 512, 1000, 4096, 549 * 1024, 1 << 20])
def test_any_length_is_compared_to_its_last_byte(block: int) -> None:
    disk = Disk(block)
    disk.write(101)
    assert disk.read(101) == ""
    disk.blocks[101][-1] ^= 1
    assert disk.read(101) == f"block 101, byte {block - 1}: 1 flipped bit"


def test_every_flipped_bit_is_found(disk: Disk) -> None:
    draws = np.random.Generator(np.random.PCG64(5))
    for _ in range(1000):
        key, byte, bit = 100 + draws.integers(KEYS), draws.integers(BLOCK), draws.integers(8)
        disk.blocks[key][byte] ^= 1 << bit
        assert disk.read(int(key)) == f"block {key}, byte {byte}: 1 flipped bit"
        disk.blocks[key][byte] ^= 1 << bit
        disk.stamped.mismatch = ""


def test_swapped_lost_and_empty_blocks_say_what_they_are(disk: Disk) -> None:
    disk.blocks[100] = disk.blocks[103]
    assert disk.read(100) == "block 100, byte 0: holds the content of block 103"
    disk.stamped.mismatch = ""
    older = disk.blocks[101].copy()
    disk.write(101)
    disk.blocks[101] = older
    assert disk.read(101) == "block 101, byte 0: holds an older write of block 101"
    disk.stamped.mismatch = ""
    disk.blocks[102] = np.zeros(BLOCK, np.uint8)
    assert "zeros where data was written" in disk.read(102)
    disk.stamped.mismatch = ""
    assert "the read brought nothing" in disk.read(104, lost=True)
    disk.stamped.mismatch = ""
    disk.blocks[105] = content(1, np.array([105], np.uint64), np.ones(1, np.uint64), BLOCK)[0]
    assert "not written in this pass" in disk.read(105)


def test_only_a_part_of_a_block_is_stale(disk: Disk) -> None:
    older = disk.blocks[100].copy()
    disk.write(100)
    disk.blocks[100][SECTOR_BYTES * 5 : SECTOR_BYTES * 6] = older[SECTOR_BYTES * 5 : SECTOR_BYTES * 6]
    assert disk.read(100) == f"block 100, byte {SECTOR_BYTES * 5}: holds an older write of block 100"


def test_content_neither_repeats_nor_compresses() -> None:
    data = content(1, np.arange(64, dtype=np.uint64), np.zeros(64, np.uint64), 64 * 1024)
    sectors = data.reshape(-1, SECTOR_BYTES)
    assert len(np.unique(sectors, axis=0)) == len(sectors)
    assert len(zlib.compress(data.tobytes(), 6)) > 0.99 * data.nbytes
