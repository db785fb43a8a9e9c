"""How far down the LRU stack each look-up of a workload finds its block: exactly, for all capacities in one pass.

Mattson, Gecsei, Slutz, Traiger, "Evaluation techniques for storage hierarchies", IBM Systems Journal 1970: LRU of C
blocks holds the C blocks touched last, so a look-up hits at every capacity from its stack distance on. The distance is
the number of blocks touched since, which a tree of counts gives one look-up at a time; here all of them are counted at
once.

Number the touches in their order. Of the touches after a block's last one, at p, those count whose block was not
touched again before the look-up, at s: distance = s - p - (touches k < s of blocks whose touch before was after p). The
last term is a count of points in a quarter plane, (time of k, place of its touch before), for every look-up: what a
merge sort over times counts while it merges. Ours goes from the top down: sorted by place, split by one bit of the time
after the other, with running sums instead of merging, so that each step is a handful of operations on whole arrays.

Look-ups of a request are against the state before it, so time is the number of the request. Neighbours in a request
that were neighbours in an earlier one (prefixes, which is what these workloads are made of) share everything and are
counted as one run, weighted by its length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
#: The distance of a look-up that hits at no capacity.
COLD = np.iinfo(np.int64).max


def distances(ids: Int64s, offsets: Int64s, tail_first: bool = False) -> Int64s:
    """The least capacity in blocks at which each look-up hits under LRU, COLD for the first ones; shape as `ids`.

    Request r looks up ids[offsets[r]:offsets[r + 1]], all against the state before it, and then touches them first to
    last, or last to first.
    """
    lengths = np.diff(offsets)
    request = np.repeat(np.arange(len(lengths)), lengths)
    if not tail_first:
        return _distances(ids, request)
    # What is touched in the other order is looked up in it, too: which of a request's look-ups is first is all one.
    mirror = np.repeat(offsets[:-1] + offsets[1:] - 1, lengths) - np.arange(len(ids))
    return _distances(ids[mirror], request)[mirror]


def _distances(ids: Int64s, request: Int64s) -> Int64s:
    result = np.full(len(ids), COLD, np.int64)
    previous = _previous(ids)
    again = previous >= 0
    doubled = again & (request[previous] == request)
    if doubled.any():
        return _with_doubles(ids, request)
    where = np.flatnonzero(again)
    if not len(where):
        return result
    before, asked = previous[where], request[where]
    first = np.flatnonzero(
        np.concatenate([[True], (np.diff(where) != 1) | (np.diff(before) != 1) | (np.diff(asked) != 0)])
    )
    length = np.diff(first, append=len(where))
    hidden = _later(before[first], asked[first], length)
    result[where] = _starts(request)[where] - before - np.repeat(hidden, length)
    return result


def _starts(request: Int64s) -> Int64s:
    """Where the request of each look-up begins."""
    begins = np.diff(request, prepend=-1) != 0
    return np.maximum.accumulate(np.where(begins, np.arange(len(request)), 0))


def _previous(ids: Int64s) -> Int64s:
    """The place of the same id before each, -1 where there is none."""
    order = np.argsort(ids, kind="stable")
    same = ids[order[1:]] == ids[order[:-1]]
    previous = np.full(len(ids), -1, np.int64)
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _with_doubles(ids: Int64s, request: Int64s) -> Int64s:
    """Where a request names a block twice: only the last touch leaves a trace, and both look-ups find the same."""
    # Each (request, id) once, at its last place.
    order = np.lexsort((np.arange(len(ids)), ids, request))
    last = np.append((np.diff(ids[order]) != 0) | (np.diff(request[order]) != 0), True)
    group = np.empty(len(ids), np.int64)
    group[order] = np.cumsum(last) - last
    kept = order[last]
    in_place = np.argsort(kept, kind="stable")
    found = np.empty(len(kept), np.int64)
    found[in_place] = _distances(ids[kept[in_place]], request[kept[in_place]])
    return found[group]


def _later(place: Int64s, time: Int64s, weight: Int64s) -> Int64s:
    """For each item, the weight of all items of an earlier time and a higher place; shape as `place`.

    `time` is sorted, places are distinct.
    """
    # All sums are at most the number of look-ups, and half the bytes are half the time.
    small: Any = np.int32 if int(weight.sum()) < 2**31 else np.int64
    item = np.argsort(place)[::-1].astype(small)
    time, weight = (time - time[0]).astype(small)[item], weight.astype(small)[item]
    total = np.zeros(len(item), small)
    # Items are in groups of equal leading bits of the time, and in each by place, the highest first. A bit splits a
    # group: what has it is later than what has it not, and counts those of them that stand before it. All that have it
    # not go to the front, so groups stay together, in an order of their own.
    starts = np.zeros(1, np.int64)
    for bit in reversed(range(int(time.max()).bit_length())):
        late = time & (1 << bit) != 0
        early, late = np.flatnonzero(~late), np.flatnonzero(late)
        seen = np.zeros(len(item) + 1, small)
        seen[1:][early] = weight[early]
        np.cumsum(seen, out=seen)
        front = np.searchsorted(early, starts)
        behind = starts - front
        base = np.repeat(seen[starts], np.diff(behind, append=len(late)))
        total = np.concatenate([total[early], total[late] + seen[late] - base])
        time, item, weight = (np.concatenate([each[early], each[late]]) for each in (time, item, weight))
        starts = np.concatenate([front, behind + len(early)])
        starts = starts[np.diff(starts, append=len(item)) > 0]
    result = np.empty(len(item), np.int64)
    result[item] = total
    return result
