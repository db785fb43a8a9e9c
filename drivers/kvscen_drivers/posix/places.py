"""Which file a block lies in, and where: the layouts of a tier's folder.

    file     blocks.data: every block, at key x stride
    lane     lanes/N.data: the blocks of lane N's share of the keys, one after the other
    block    blocks/K/KEY.data: each block alone, a thousand files in a folder

A key has one place whatever lane asks for it. No layout depends on what is in the files already: one folder serves
points of any block size and any number of lanes, and its data is used again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.plugin import WRITE, Layout, Rows

Kind: TypeAlias = Literal["file", "lane", "block"]

#: Files in one folder of the layout `block`: directories stay small on file systems that search them from end to end.
_FILES_A_FOLDER = 1000


@attrs.frozen
class Piece:
    """Consecutive keys that lie in one file: `first_key` at byte `first`, the end of the last one at byte `end`."""

    number: int
    first_key: int
    keys: int
    first: int
    end: int


class Area:
    """Key to place: the number of its file and the offset in it. Changed by `place`, read by all lanes.

    `processes` and `threads` make the shares of the layout `lane`.
    """

    def __init__(self, kind: Kind = "file", processes: int = 1, threads: int = 1) -> None:
        self.kind: Kind = kind
        self._processes, self._threads = processes, threads
        self.place(Layout(0, 0, 1))

    @property
    def kept_open(self) -> int | None:
        """How many files there are, where they are few enough to be kept open; None where each block has its own."""
        match self.kind:
            case "file":
                return 1
            case "lane":
                return self._processes * self._threads
        return None

    def place(self, layout: Layout) -> None:
        self.layout = layout
        self._stride = np.uint64(layout.stride_bytes)
        total = max(layout.total_keys, layout.first_key + layout.keys)
        shares = [(0, 0, total)]
        if self.kind == "lane":
            shares = list(lane_shares(total, self._processes, self._threads)) or shares
        self._lane_numbers = np.array([number for number, _, _ in shares], np.int64)
        self._lane_starts = np.array([start for _, start, _ in shares], np.uint64)
        self._lane_ends = np.array([end for _, _, end in shares], np.uint64)

    def name(self, number: int) -> str:
        """The file, within the folder."""
        match self.kind:
            case "file":
                return "blocks.data"
            case "lane":
                return f"lanes/{number}.data"
        return f"blocks/{number // _FILES_A_FOLDER}/{number}.data"

    def spots(self, ops: Rows) -> tuple[npt.NDArray[np.int64] | int, npt.NDArray[np.uint64]]:
        """The number of each operation's file (one for all where there is one) and its place in it."""
        keys = ops["key"]
        if self.kind == "file":
            return 0, keys * self._stride + ops["offset"]
        if self.kind == "block":
            return keys.astype(np.int64), ops["offset"].copy()
        lanes = np.searchsorted(self._lane_starts, keys, "right") - 1
        return self._lane_numbers[lanes], (keys - self._lane_starts[lanes]) * self._stride + ops["offset"]

    def accepts(self, ops: Rows, arena_bytes: int | None) -> bool:
        """Is each of the operations a read or write of a block's own range to or from the arena (None: `buffer` is not
        looked at)? Told from the largest value of each column, so False may also be said where each by itself is one
        (`find` says which are).
        """
        keys = ops["key"]
        first, largest = self.layout.first_key, int(keys.max())
        size = int(ops["bytes"].max())
        return (
            largest < first + self.layout.keys
            and (not first or int(keys.min()) >= first)
            and int(ops["offset"].max()) + size <= self.layout.stride_bytes
            and (arena_bytes is None or int(ops["buffer"].max()) + size <= arena_bytes)
            and int(ops["kind"].max()) <= WRITE
        )

    def find(self, key: int, offset: int, nbytes: int) -> tuple[int, int] | None:
        """One operation's file and place in it; None where it is not of a block's own range."""
        layout = self.layout
        if not 0 <= key - layout.first_key < layout.keys or offset + nbytes > layout.stride_bytes:
            return None
        number, at = self.spot(key)
        return number, at + offset

    def spot(self, key: int) -> tuple[int, int]:
        """A block's file and its first byte in it."""
        stride = self.layout.stride_bytes
        if self.kind == "file":
            return 0, key * stride
        if self.kind == "block":
            return key, 0
        lane = max(int(np.searchsorted(self._lane_starts, np.uint64(key), "right")) - 1, 0)
        return int(self._lane_numbers[lane]), (key - int(self._lane_starts[lane])) * stride

    def pieces(self, first_key: int, keys: int) -> Iterator[Piece]:
        """The keys first_key <= key < first_key + keys, file by file, in order."""
        stride, end_key = self.layout.stride_bytes, first_key + keys
        if self.kind == "block":
            for key in range(first_key, end_key):
                yield Piece(key, key, 1, 0, stride)
            return
        for number, start, end in zip(
            self._lane_numbers.tolist(), self._lane_starts.tolist(), self._lane_ends.tolist(), strict=True
        ):
            low, high = max(start, first_key), min(end, end_key)
            if low < high:
                base = start if self.kind == "lane" else 0
                yield Piece(number, low, high - low, (low - base) * stride, (high - base) * stride)


def lane_shares(keys: int, processes: int, threads: int) -> Iterator[tuple[int, int, int]]:
    """(number of the lane, its first key, the end of its keys) of the lanes that own keys, in the order of the keys.

    These are the core's shares: of processes first, then of threads. Where there are fewer keys than parts all parts
    share all keys, and the first one owns them.
    """
    for process, start, end in _shares(0, keys, processes):
        for thread, low, high in _shares(start, end, threads):
            yield process * threads + thread, low, high


def _shares(start: int, end: int, parts: int) -> list[tuple[int, int, int]]:
    count = end - start
    if count < parts:
        return [(0, start, end)] if count else []
    return [(i, start + count * i // parts, start + count * (i + 1) // parts) for i in range(parts)]
