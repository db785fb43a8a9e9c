"""What the blocks hold: content that does not compress, that says whose it is, and that is compared byte by byte.

Every sector of 512 bytes is a stretch of a fixed pool of random words, each word XORed with a stamp made of (seed, key,
generation of the write, sector). So no two sectors of a data set are alike, and a wrong sector says what it is: another
block's, an older write's, or noise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.pattern.draw import UInt64s, mix
from kvscen.plugin.contract import MISS, OK, READ, WRITE, Arena, Rows

SECTOR_BYTES = 512
_WORDS = SECTOR_BYTES // 8
_POOL_SECTORS = 256
#: What buffers hold before something is to arrive in them.
POISON = 0xA5
# Rows of small blocks are stamped and compared together, up to this many bytes: it stays in the processor's cache.
_GROUP_BYTES = 1 << 18

Bytes = npt.NDArray[np.uint8]


@functools.cache
def _pool() -> UInt64s:
    """Random words, shape (_POOL_SECTORS, 64)."""
    words: UInt64s = np.random.PCG64(0x6B767363).random_raw(_POOL_SECTORS * _WORDS)
    return words.reshape(_POOL_SECTORS, _WORDS)


def stamps(seed: int, keys: UInt64s, generations: UInt64s, first_sector: int, sectors: int) -> UInt64s:
    """The stamp of each sector of each block, shape (len(keys), sectors); `generations` has one for each key."""
    base = mix(np.uint64(seed & (2**64 - 1)) + keys * np.uint64(0x9E3779B97F4A7C15))
    base = mix(base + generations * np.uint64(0xD1B54A32D192ED03))
    return mix(base[:, None] + np.arange(first_sector, first_sector + sectors, dtype=np.uint64)[None, :])


def content(seed: int, keys: UInt64s, generations: UInt64s, nbytes: int, first_sector: int = 0) -> Bytes:
    """The content of blocks, from a sector on, shape (len(keys), nbytes); `generations` has one for each key."""
    sectors = -(-nbytes // SECTOR_BYTES)
    pool = _pool()
    rows = pool[np.arange(first_sector, first_sector + sectors) % _POOL_SECTORS]
    words = rows[None, :, :] ^ stamps(seed, keys, generations, first_sector, sectors)[:, :, None]
    return words.reshape(len(keys), sectors * _WORDS).view(np.uint8)[:, :nbytes]


def _stamp_of(piece: Bytes, sector: int) -> int | None:
    """The stamp of a whole sector's content; None where it has none."""
    if len(piece) != SECTOR_BYTES:
        return None
    words = np.frombuffer(piece.tobytes(), np.uint64) ^ _pool()[sector % _POOL_SECTORS]
    return int(words[0]) if (words == words[0]).all() else None


def _extent(wanted: Bytes, found: Bytes) -> str:
    wrong = int(np.unpackbits(wanted ^ found).sum())
    if wrong <= 64:
        return f"{wrong} flipped bit{'s' if wrong > 1 else ''}"
    return f"{int((wanted != found).sum())} of {len(wanted)} bytes differ"


def difference(wanted: Bytes, found: Bytes, first_sector: int) -> tuple[int, str]:
    """(first byte that differs, what is there instead) of a piece that should have arrived in poisoned memory."""
    at = int(np.flatnonzero(wanted != found)[0])
    sector = at // SECTOR_BYTES
    piece = found[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
    if (piece == POISON).all():
        return at, "nothing has arrived, the memory still holds what was there before"
    if not piece.any():
        return at, "zeros have arrived"
    if _stamp_of(piece, first_sector + sector) is not None:
        return at, "the content of another transfer has arrived"
    return at, _extent(wanted, found)


@attrs.define
class Stamped:
    """The content of a pass in which each key is touched once: stamps what is written, poisons the buffers of reads and
    compares what they bring. One for a lane. `generations` counts the writes of keys first_key, first_key + 1, ...
    """

    arena: Arena
    seed: int
    first_key: int
    generations: UInt64s
    advance: bool = True
    verified_bytes: int = 0
    misses: int = 0
    mismatch: str = ""

    def before(self, ops: Rows) -> None:
        writes = ops[ops["kind"] == WRITE]
        if self.advance:
            self.generations[writes["key"].astype(np.int64) - self.first_key] += np.uint64(1)
        self._each(writes, self._stamp)
        for op in ops[ops["kind"] == READ]:
            self.arena.put(int(op["buffer"]), int(op["bytes"]), POISON)

    def after(self, ops: Rows, completions: Rows) -> None:
        good = (completions["outcome"] == OK) & (ops["kind"] == READ)
        self.misses += int((completions["outcome"] == MISS).sum())
        self._each(ops[good], self._compare)

    def _each(self, ops: Rows, act: Callable[[UInt64s, npt.NDArray[np.int64], int, int], None]) -> None:
        """Call `act(keys, buffers, nbytes, first_sector)` for groups of equally long operations that fit the cache."""
        if not len(ops):
            return
        nbytes = int(ops["bytes"][0])
        assert (ops["bytes"] == nbytes).all()
        keys, buffers = ops["key"], ops["buffer"].astype(np.int64)
        if nbytes <= _GROUP_BYTES:
            group = max(1, _GROUP_BYTES // nbytes)
            for start in range(0, len(ops), group):
                act(keys[start : start + group], buffers[start : start + group], nbytes, 0)
            return
        for key, buffer in zip(keys, buffers, strict=True):
            for offset in range(0, nbytes, _GROUP_BYTES):
                length = min(_GROUP_BYTES, nbytes - offset)
                act(np.array([key]), np.array([buffer + offset]), length, offset // SECTOR_BYTES)

    def _stamp(self, keys: UInt64s, buffers: npt.NDArray[np.int64], nbytes: int, first_sector: int) -> None:
        for row, buffer in zip(self._content(keys, nbytes, first_sector), buffers, strict=True):
            self.arena.put(int(buffer), nbytes, row)

    def _compare(self, keys: UInt64s, buffers: npt.NDArray[np.int64], nbytes: int, first_sector: int) -> None:
        for key, row, buffer in zip(keys, self._content(keys, nbytes, first_sector), buffers, strict=True):
            found = self.arena.get(int(buffer), nbytes)
            if np.array_equal(found, row):
                continue
            if not self.mismatch:
                self.mismatch = self._explain(int(key), row, found.copy(), first_sector)
            return
        self.verified_bytes += nbytes * len(keys)

    def _content(self, keys: UInt64s, nbytes: int, first_sector: int) -> Bytes:
        generations = self.generations[keys.astype(np.int64) - self.first_key]
        return content(self.seed, keys, generations, nbytes, first_sector)

    def _explain(self, key: int, wanted: Bytes, found: Bytes, first_sector: int) -> str:
        at = int(np.flatnonzero(wanted != found)[0])
        sector = at // SECTOR_BYTES
        offset = first_sector * SECTOR_BYTES + at
        where = f"block {key}, byte {offset}"
        piece = found[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
        if (piece == POISON).all():
            return f"{where}: the read brought nothing, the buffer still holds what was put there before it"
        if not piece.any():
            return f"{where}: zeros where data was written"
        stamp = _stamp_of(piece, first_sector + sector)
        if stamp is not None:
            return f"{where}: {self._whose(stamp, first_sector + sector)}"
        return f"{where}: {_extent(wanted, found)}"

    def _whose(self, stamp: int, sector: int) -> str:
        keys = np.arange(len(self.generations), dtype=np.uint64) + np.uint64(self.first_key)
        for age in range(int(self.generations.max()) + 1):
            older = self.generations >= age
            found = np.flatnonzero(
                older
                & (stamps(self.seed, keys, self.generations - np.uint64(age), sector, 1)[:, 0] == np.uint64(stamp))
            )
            if len(found):
                other = self.first_key + int(found[0])
                return f"holds an older write of block {other}" if age else f"holds the content of block {other}"
        return "holds a sector that was not written in this pass: the write was lost"
