"""What a level keeps when it is full: the frame that every policy fills in.

A block that is held has a node. Nodes are numbers into parallel lists (`_keys`, `_prev`, `_next`), which make linked
rings without an object for each block; the first `HEADS` numbers are the heads of the rings, whose `_next` is the block
that would leave last and whose `_prev` is the one that would leave first. A node that becomes free is taken again
first, so that there are never more nodes than the level ever held blocks.
"""

from __future__ import annotations

import sys
from typing import ClassVar


class Policy:
    """One level's blocks. `capacity`: the most that it holds, in blocks; None: no limit. Raises ValueError below 1."""

    name: ClassVar[str]
    #: A request's blocks are touched last to first.
    tail_first: ClassVar[bool] = False
    #: Rings of nodes that the policy has.
    HEADS: ClassVar[int] = 1

    def __init__(self, capacity: int | None) -> None:
        if capacity is not None and capacity < 1:
            raise ValueError(f"a level needs room for at least one block, not {capacity}")
        self.capacity = sys.maxsize if capacity is None else capacity
        #: The node of each block that is held.
        self.where: dict[int, int] = {}
        #: (key, node) of what the last `insert` pushed out; who calls it takes the list away.
        self.evicted: list[tuple[int, int]] = []
        self._keys = [0] * self.HEADS
        self._prev = list(range(self.HEADS))
        self._next = list(range(self.HEADS))
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.where)

    def touch(self, node: int) -> None:
        """A block that is held was asked for."""
        raise NotImplementedError

    def insert(self, key: int) -> int:
        """Take a block in that is not held; what has to leave for it is in `evicted`. Returns its node."""
        raise NotImplementedError

    def arrive(self, key: int) -> int:
        """As `insert`, of a block that the level above had to let go: it is of another request than what comes in."""
        return self.insert(key)

    def remove(self, key: int) -> int:
        """Let go of a block that is held, for a reason that is not the policy's. Returns the node it had."""
        node = self.where.pop(key)
        self._unlink(node)
        self._free.append(node)
        return node

    def begin(self) -> None:
        """What is touched from here on belongs to another request."""

    # -- nodes and rings

    def _take(self, key: int) -> int:
        """A node for the block, in no ring yet."""
        if self._free:
            node = self._free.pop()
            self._keys[node] = key
        else:
            node = len(self._keys)
            self._keys.append(key)
            self._prev.append(node)
            self._next.append(node)
        self.where[key] = node
        return node

    def _link(self, node: int, before: int) -> None:
        """Put a node that is in no ring behind `before`: seen from the head, right after it."""
        after = self._next[before]
        self._next[before] = self._prev[after] = node
        self._prev[node], self._next[node] = before, after

    def _unlink(self, node: int) -> None:
        before, after = self._prev[node], self._next[node]
        self._next[before], self._prev[after] = after, before

    def _push_out(self, node: int) -> int:
        """Evict the block of a node that is in no ring any more. Returns its key."""
        key = self._keys[node]
        del self.where[key]
        self._free.append(node)
        self.evicted.append((key, node))
        return key
