"""`arc`: the adaptive replacement cache of Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache",
FAST 2003, figure 4.

T1 holds blocks that were asked for once lately, T2 those that were asked for again; B1 and B2 remember what left them.
A block that comes back while B1 remembers it says that T1 is too small, one in B2 that T2 is: `_target`, the size at
which T1 is aimed, moves by the ratio of the two. The names of the cases are the paper's.

The paper's cache never gets smaller once it is full. Ours may, when a block is discarded or promoted: then a block
leaves only if there is no room.
"""

from __future__ import annotations

from collections import OrderedDict

from kvscen.cache.policy import Policy

ONCE, AGAIN = 0, 1


class ARC(Policy):
    name = "arc"
    HEADS = 2

    def __init__(self, capacity: int | None) -> None:
        super().__init__(capacity)
        self._target = 0.0
        self._count = [0, 0]
        self._list = bytearray(self.HEADS)
        #: What B1 and B2 remember, the oldest first.
        self._ghosts: tuple[OrderedDict[int, None], OrderedDict[int, None]] = (OrderedDict(), OrderedDict())

    def touch(self, node: int) -> None:
        """Case I."""
        self._leave(node)
        self._enter(node, AGAIN)

    def insert(self, key: int) -> int:
        once, again = self._ghosts
        known = ONCE
        if key in once:  # case II
            self._target = min(self._target + max(len(again) / len(once), 1.0), float(self.capacity))
            self._replace(in_again=False)
            del once[key]
            known = AGAIN
        elif key in again:  # case III
            self._target = max(self._target - max(len(once) / len(again), 1.0), 0.0)
            self._replace(in_again=True)
            del again[key]
            known = AGAIN
        else:
            self._make_room()
        node = self._take(key)
        if node == len(self._list):
            self._list.append(0)
        self._enter(node, known)
        return node

    def remove(self, key: int) -> int:
        node = super().remove(key)
        self._count[self._list[node]] -= 1
        return node

    def _make_room(self) -> None:
        """Case IV."""
        once, again = self._ghosts
        if self._count[ONCE] + len(once) >= self.capacity:
            if once:
                once.popitem(last=False)
                self._replace(in_again=False)
            else:
                victim = self._prev[ONCE]
                self._leave(victim)
                self._push_out(victim)
            return
        if len(self.where) + len(once) + len(again) >= 2 * self.capacity:
            again.popitem(last=False)
        self._replace(in_again=False)

    def _replace(self, in_again: bool) -> None:
        """REPLACE, where the cache is full: one block leaves and is remembered."""
        if len(self.where) < self.capacity:
            return
        held = self._count[ONCE]
        which = ONCE if held and (held > self._target or (in_again and held == self._target)) else AGAIN
        if not self._count[which]:
            which = ONCE
        victim = self._prev[which]
        self._leave(victim)
        self._ghosts[which][self._push_out(victim)] = None

    def _enter(self, node: int, which: int) -> None:
        self._list[node] = which
        self._count[which] += 1
        self._link(node, which)

    def _leave(self, node: int) -> None:
        self._count[self._list[node]] -= 1
        self._unlink(node)
