"""Policies of one ring: `lru`, `lru_tail_first`, `fifo`, `lfu`."""

from __future__ import annotations

from kvscen.cache.policy import Policy


class LRU(Policy):
    """The block that was touched longest ago leaves."""

    name = "lru"

    def touch(self, node: int) -> None:
        prev, after = self._prev, self._next
        first = after[0]
        if first == node:
            return
        # unlink and link, written out: this is the hottest place of all
        back, front = after[node], prev[node]
        after[front], prev[back] = back, front
        prev[first] = after[0] = node
        prev[node], after[node] = 0, first

    def insert(self, key: int) -> int:
        where = self.where
        if len(where) < self.capacity:
            node = self._take(key)
            self._link(node, 0)
            return node
        node = self._prev[0]
        keys = self._keys
        victim = keys[node]
        del where[victim]
        self.evicted.append((victim, node))
        keys[node] = key
        where[key] = node
        LRU.touch(self, node)
        return node


class FIFO(LRU):
    """The block that came in first leaves; being asked for changes nothing."""

    name = "fifo"

    def touch(self, node: int) -> None:
        return


class TailFirst(Policy):
    """LRU in which a request's blocks are touched last to first: its prefix outlives its tail, as engines want it.

    Where a request is decided as a whole its blocks come in that order. Where they come one by one and first to last,
    each takes its place beneath the one before it, which leaves them in the same order as long as a request does not
    push out blocks of its own.
    """

    name = "lru_tail_first"
    tail_first = True

    def __init__(self, capacity: int | None) -> None:
        super().__init__(capacity)
        self._beneath = 0

    def begin(self) -> None:
        self._beneath = 0

    def touch(self, node: int) -> None:
        beneath = self._beneath
        if node != beneath:
            self._unlink(node)
            self._link(node, beneath)
            self._beneath = node

    def insert(self, key: int) -> int:
        self._make_room()
        node = self._take(key)
        self._link(node, self._beneath)
        self._beneath = node
        return node

    def arrive(self, key: int) -> int:
        """On top: of what the level above lets go, tails come first."""
        self._make_room()
        node = self._take(key)
        self._link(node, 0)
        return node

    def _make_room(self) -> None:
        if len(self.where) >= self.capacity:
            victim = self._prev[0]
            self._leave(victim)
            self._push_out(victim)

    def remove(self, key: int) -> int:
        node = self.where.pop(key)
        self._leave(node)
        self._free.append(node)
        return node

    def _leave(self, node: int) -> None:
        if node == self._beneath:
            self._beneath = self._prev[node]
        self._unlink(node)


class LFU(Policy):
    """The block that was asked for least often since it came in leaves; of several, the one touched longest ago.

    One ring, the most frequent block first, and for each frequency the node that was touched last with it: a block that
    is touched goes in front of those that were asked for once more than it, so everything takes constant time (Shah,
    Mitra, Matani: "An O(1) algorithm for implementing the LFU cache eviction scheme", 2010, with one ring for its many
    lists).
    """

    name = "lfu"

    def __init__(self, capacity: int | None) -> None:
        super().__init__(capacity)
        self._frequency = [0]
        self._newest: dict[int, int] = {}

    def touch(self, node: int) -> None:
        frequency = self._frequency[node]
        before = self._newest.get(frequency + 1)
        if before is None:
            before = self._newest[frequency]
        if before == node:
            self._forget_newest(node)
        else:
            self._leave(node)
            self._link(node, self._prev[before])
        self._frequency[node] = frequency + 1
        self._newest[frequency + 1] = node

    def insert(self, key: int) -> int:
        if len(self.where) >= self.capacity:
            victim = self._prev[0]
            self._leave(victim)
            self._push_out(victim)
        node = self._take(key)
        if node == len(self._frequency):
            self._frequency.append(1)
        self._frequency[node] = 1
        before = self._newest.get(1)
        self._link(node, self._prev[0] if before is None else self._prev[before])
        self._newest[1] = node
        return node

    def remove(self, key: int) -> int:
        node = self.where.pop(key)
        self._leave(node)
        self._free.append(node)
        return node

    def _leave(self, node: int) -> None:
        self._forget_newest(node)
        self._unlink(node)

    def _forget_newest(self, node: int) -> None:
        """`node` is about to leave its frequency: if it was the newest there, the next one in the ring is."""
        frequency = self._frequency[node]
        if self._newest[frequency] == node:
            older = self._next[node]
            if older and self._frequency[older] == frequency:
                self._newest[frequency] = older
            else:
                del self._newest[frequency]
