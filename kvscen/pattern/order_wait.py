"""How long users wait for each other's thinking: the price of an order that is fixed before the run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


def order_wait(start_ns: int, due_ns: Int64s, begun_ns: Int64s, paused_ns: Int64s) -> Int64s:
    """Of each step, in their order: how long it was due, and the first that had not begun was not, because its user was
    thinking or had to wait for his time. While that one is still being served the others wait for storage, as they
    would in any order.

    Arrays of shape (steps,): when each was due and when it began, and how long its user paused before it was due.
    """
    if not len(due_ns):
        return np.zeros(0, np.int64)
    # A step is the first one from when the one before it has begun until it has begun itself. Of that, its pause:
    since = np.concatenate([[start_ns], begun_ns[:-1]])
    starts = np.clip(due_ns - paused_ns, since, begun_ns)
    lengths = np.clip(due_ns, starts, begun_ns) - starts
    before = np.concatenate([[0], np.cumsum(lengths)])

    def paused_until(times: Int64s) -> Int64s:
        place = np.searchsorted(starts, times, "right") - 1
        inside = np.clip(times - starts[place], 0, lengths[place])
        return np.where(place < 0, 0, before[place] + inside).astype(np.int64)

    waits: Int64s = np.maximum(paused_until(begun_ns) - paused_until(np.minimum(due_ns, begun_ns)), 0)
    return waits
