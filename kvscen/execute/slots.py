"""Which operation is in flight in which buffer, and whether what a driver says of it can be true.

A slot is a buffer and the operation that it is lent to. An operation's id holds its slot in the low bits and a
running number in the others, so a completion is checked by one comparison: an id that was never submitted, or
comes back twice, is not in the table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kvscen.plugin.contract import ANY_BUFFER, KINDS, OK, OPERATION, RAW_OPERATION, Rows

_SLOT_BITS = 16
_SLOT_MASK = (1 << _SLOT_BITS) - 1
#: The most operations in flight in a lane.
MAX_SLOTS = 1 << _SLOT_BITS
_NOBODY = 2**64 - 1


class ContractBroken(Exception):
    """A driver did what no driver may do; its figures cannot be trusted."""


class Slots:
    """`count` slots of `slot_bytes` in the lane's arena, or with buffers that the lane gives (None) or that the
    operations bring with them (0). One operation at a time is the common case at a low depth, and arrays of one element
    cost as much as arrays of a hundred: it has its own way through `lend` and `take_back`.
    """

    def __init__(self, count: int, slot_bytes: int | None) -> None:
        self.count = count
        self.slot_bytes = slot_bytes
        self.free = count
        self._free = np.arange(count - 1, -1, -1, dtype=np.int64)
        self._table = np.zeros(count, OPERATION)
        self._table_raw = self._table.view(RAW_OPERATION)
        self._ids, self._bytes = self._table["id"], self._table["bytes"]
        self._ids[:] = _NOBODY
        self._staging = np.zeros(count, OPERATION)
        self._staging_raw = self._staging.view(RAW_OPERATION)
        self._staging_ids, self._staging_buffers = self._staging["id"], self._staging["buffer"]
        self._sequence = 0

    def lend(self, rows: Rows) -> Rows:
        """The operations with their ids and buffers; as many slots must be free. Valid until the next call."""
        count = len(rows)
        self._staging_raw[:count] = rows.view(RAW_OPERATION)
        self.free -= count
        if count == 1:
            slot = int(self._free[self.free])
            self._staging_ids[0] = (self._sequence << _SLOT_BITS) | slot
            if self.slot_bytes != 0:
                self._staging_buffers[0] = ANY_BUFFER if self.slot_bytes is None else slot * self.slot_bytes
            self._table_raw[slot] = self._staging_raw[0]
        else:
            slots = self._free[self.free : self.free + count]
            self._staging_ids[:count] = (np.arange(self._sequence, self._sequence + count) << _SLOT_BITS) | slots
            if self.slot_bytes != 0:
                self._staging_buffers[:count] = ANY_BUFFER if self.slot_bytes is None else slots * self.slot_bytes
            self._table_raw[slots] = self._staging_raw[:count]
        self._sequence += count
        return self._staging[:count]

    def take_back(self, done: Rows) -> tuple[Rows, bool]:
        """(operations, all are OK) of these completions; their slots are free again. The rows are valid until the next
        call. Raises ContractBroken.
        """
        count = len(done)
        if count == 1:
            return self._take_one(done)
        ids = done["id"]
        slots = (ids & np.uint64(_SLOT_MASK)).astype(np.int64)
        try:
            ops = self._table_raw[slots].view(OPERATION)
        except IndexError:
            raise _unknown() from None
        if np.count_nonzero(ops["id"] != ids) or int(np.bincount(slots).max(initial=0)) > 1:
            raise _unknown()
        failed = done["outcome"] != OK
        all_good = not np.count_nonzero(failed)
        # Of the operation's own type: numpy compares signed with unsigned numbers as floats, at several times the cost.
        wrong = ops["bytes"] != done["bytes"].view(np.uint64)
        if not all_good:
            wrong &= ~failed
        if np.count_nonzero(wrong):
            first = int(np.flatnonzero(wrong)[0])
            raise _untrue(ops[first], done[first])
        self._ids[slots] = _NOBODY
        self._free[self.free : self.free + count] = slots
        self.free += count
        return ops, all_good

    def _take_one(self, done: Rows) -> tuple[Rows, bool]:
        identity, _, _, moved, _, _, outcome, _, _ = done[0].item()
        slot = identity & _SLOT_MASK
        if slot >= self.count or int(self._ids[slot]) != identity:
            raise _unknown()
        ops = self._table[slot : slot + 1]
        good = outcome == OK
        if good and moved != int(self._bytes[slot]):
            raise _untrue(ops[0], done[0])
        self._ids[slot] = _NOBODY
        self._free[self.free] = slot
        self.free += 1
        return ops, good

    def give_up(self, ops: Rows) -> None:
        """Free the slots of operations that were lent and never submitted."""
        slots: npt.NDArray[np.int64] = (ops["id"] & np.uint64(_SLOT_MASK)).astype(np.int64)
        self._ids[slots] = _NOBODY
        self._free[self.free : self.free + len(slots)] = slots
        self.free += len(slots)


def _unknown() -> ContractBroken:
    return ContractBroken("the driver completed an operation that was never submitted, or completed one twice")


def _untrue(op: Rows, completion: Rows) -> ContractBroken:
    return ContractBroken(
        f"the driver reports {int(completion['bytes'])} bytes as done for a {KINDS[int(op['kind'])]} of "
        f"{int(op['bytes'])} bytes"
    )
