"""Which server has a value: rendezvous hashing. Of all servers it is the one whose number, mixed with the value's,
comes out largest; with a server more, only the values that move to it move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15


def servers_of(values: npt.NDArray[np.uint64], servers: int) -> npt.NDArray[np.int64]:
    """The number of the server of each value, counted from 0 in the order in which the servers are listed."""
    if servers == 1:
        return np.zeros(len(values), np.int64)
    weights = [_mix(values + np.uint64((server + 1) * _GOLDEN % 2**64)) for server in range(servers)]
    chosen: npt.NDArray[np.int64] = np.argmax(np.stack(weights), axis=0)
    return chosen


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
