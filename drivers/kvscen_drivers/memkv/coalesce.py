"""Read coalescing: which ranges of a value are fetched, where they go, and what is copied from where afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs
import numpy as np
import numpy.typing as npt


class Wanted(NamedTuple):
    """Bytes [offset, offset + nbytes) of a value are to go to `buffer` on. `row` is whoever asked."""

    offset: int
    nbytes: int
    buffer: int
    row: int


class Copy(NamedTuple):
    """`nbytes` from buffer `source` on are to be copied to `target` on, once they are there, and so `times`, each
    `stride` behind the one before."""

    target: int
    source: int
    nbytes: int
    times: int = 1
    stride: int = 0


class Fetch(NamedTuple):
    """One request: bytes [offset, offset + nbytes) of a value go, one after the other, to the `places` (buffer, bytes);
    then come the `copies`. `rows` are those that are served by it."""

    offset: int
    nbytes: int
    places: tuple[tuple[int, int], ...]
    copies: tuple[Copy, ...]
    rows: Sequence[int]


def one_for_all(offset: int, nbytes: int, places: Sequence[int], rows: Sequence[int]) -> Fetch:
    """What `coalesce` gives where all (two at least) want the same range, in a fraction of its time."""
    first = places[0]
    if isinstance(places, range):
        copies: tuple[Copy, ...] = (Copy(places[1], first, nbytes, len(places) - 1, places.step),)
    else:
        copies = tuple([Copy(place, first, nbytes) for place in places[1:]])
    return Fetch(offset, nbytes, ((first, nbytes),), copies, rows)


def carry_out(copies: Sequence[Copy], arena: npt.NDArray[np.uint8]) -> None:
    """Within the memory of all buffers."""
    for target, source, nbytes, times, stride in copies:
        if times == 1:
            arena[target : target + nbytes] = arena[source : source + nbytes]
        else:
            targets = arena[target : target + times * stride].reshape(times, stride)
            targets[:, :nbytes] = arena[source : source + nbytes]


@attrs.define
class _Cover:
    """A range that is fetched for itself, and what lies within it."""

    wanted: Wanted
    copies: list[Copy]
    rows: list[int]

    @property
    def end(self) -> int:
        return self.wanted.offset + self.wanted.nbytes


def coalesce(wanted: Sequence[Wanted], most_bytes: int, most_places: int = 512) -> list[Fetch]:
    """What to fetch of one value so that each gets what it wants.

    A range within another one is copied from that one's buffer. Ranges that follow on each other are one fetch, into
    the buffers of both, of at most `most_bytes` where there are several. Two that overlap without one holding the other
    are fetched by themselves: no buffer has room for both.
    """
    covers: list[_Cover] = []
    for each in sorted(wanted, key=lambda each: (each.offset, -each.nbytes)):
        # Sorted so, the last cover ends behind all before it: what it does not hold, none does.
        if covers and each.offset + each.nbytes <= covers[-1].end:
            last = covers[-1]
            source = last.wanted.buffer + each.offset - last.wanted.offset
            last.copies.append(Copy(each.buffer, source, each.nbytes))
            last.rows.append(each.row)
        else:
            covers.append(_Cover(each, [], [each.row]))
    fetches: list[Fetch] = []
    for first, last_of in _runs(covers, most_bytes, most_places):
        run = covers[first:last_of]
        fetches.append(
            Fetch(
                run[0].wanted.offset,
                run[-1].end - run[0].wanted.offset,
                tuple((cover.wanted.buffer, cover.wanted.nbytes) for cover in run),
                tuple(copy for cover in run for copy in cover.copies),
                tuple(row for cover in run for row in cover.rows),
            )
        )
    return fetches


def _runs(covers: Sequence[_Cover], most_bytes: int, most_places: int) -> list[tuple[int, int]]:
    """[first, last) of the covers that follow on each other."""
    runs, first = [], 0
    for last in range(1, len(covers) + 1):
        if (
            last == len(covers)
            or covers[last].wanted.offset != covers[last - 1].end
            or covers[last].end - covers[first].wanted.offset > most_bytes
            or last - first == most_places
        ):
            runs.append((first, last))
            first = last
    return runs
