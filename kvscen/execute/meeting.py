"""Where ranks wait for each other: a few words of memory that all workers of a point share. No message is sent and
nobody else takes part, so that a step begins within microseconds of the arrival of its last sender.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from kvscen.execute.loop import Beat

#: 64-bit words of each rank: a cache line, so that no rank's arrival slows down another's.
_WORDS = 8
#: Words of a rank: how far it has come, and a count that grows while it makes progress.
_POSITION, _PULSE = 0, 1
#: How often a rank looks before it lets others have its CPU, where there are more ranks than CPUs.
_SPINS = 50
_NAP_S = 20e-6
#: Looks between two at the others' progress.
_WATCH = 256

#: What a rank does while it waits: it helps transfers along that need both sides.
Idle: TypeAlias = Callable[[], None]


@contextmanager
def meeting_place(ranks: int) -> Iterator[str]:
    """The path of memory for `ranks` ranks to open. It is there for those that have it open by the end."""
    memory = os.memfd_create("kvscen-meeting")
    try:
        os.ftruncate(memory, _size(ranks))
        yield f"/proc/{os.getpid()}/fd/{memory}"
    finally:
        os.close(memory)


def _size(ranks: int) -> int:
    # The last line is for what rank 0 decides.
    return (ranks + 1) * _WORDS * 8


@attrs.frozen
class RankBeat(Beat):
    """A heartbeat that the other ranks see too."""

    line: npt.NDArray[np.int64] = attrs.field(kw_only=True)

    def add(self, count: int) -> None:
        super().add(count)
        self.line[_PULSE] += count


class Meeting:
    """One rank's side of it. All ranks call `go_on` alike, and `step` for those of a round in which they take part.

    `beat` tells the conductor that things go on: also while this rank only waits for others that make progress.
    """

    def __init__(self, path: str, ranks: int, rank: int, beat: Beat) -> None:
        """Raises OSError where the memory is not there any more."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            words = np.frombuffer(mmap.mmap(descriptor, _size(ranks)), np.int64)
        finally:
            os.close(descriptor)
        self._lines = words.reshape(ranks + 1, _WORDS)
        self._rank = rank
        self._all = np.arange(ranks)
        self._position = 0
        self._round = 0
        self._beat = beat
        #: More ranks than CPUs: who waits keeps others from what it waits for.
        self.crowded = ranks > len(os.sched_getaffinity(0))
        self.beat = RankBeat(beat.cells, line=self._lines[rank])

    def go_on(self, more: bool, steps: int, idle: Idle) -> bool:
        """Wait for all ranks. What rank 0 says of `more` is what all return: whether there is another round. `steps`:
        how many `step`s it has, the same in every rank."""
        self._position += 1
        self._round += 1
        # Two words in turn: a rank may still be reading this one when rank 0 writes the next.
        word = self._round % 2
        decided = self._lines[-1]
        if self._rank == 0:
            decided[word] = 2 * self._round + more
        self._wait(self._position, self._all, idle)
        while int(decided[word]) >> 1 != self._round:  # written before, and perhaps not seen yet
            os.sched_yield()
        self._begin, self._position = self._position, self._position + steps
        return bool(int(decided[word]) & 1)

    def step(self, number: int, ranks: Sequence[int], idle: Idle) -> None:
        """Wait for these ranks, this one among them, at the number-th step of the round."""
        self._wait(self._begin + 1 + number, np.asarray(ranks), idle)

    def all(self, idle: Idle) -> None:
        """Wait for all ranks."""
        self.go_on(True, 0, idle)

    def _wait(self, position: int, ranks: npt.NDArray[np.int64], idle: Idle) -> None:
        lines = self._lines
        lines[self._rank, _POSITION] = position
        looks, pulse = 0, -1
        while int(lines[ranks, _POSITION].min()) < position:
            idle()
            looks += 1
            if self.crowded and looks > _SPINS:
                time.sleep(_NAP_S)
            else:
                os.sched_yield()
            if looks % _WATCH == 0:
                now = int(lines[:-1, _PULSE].sum())
                if now != pulse:
                    pulse = now
                    self._beat.add(1)
