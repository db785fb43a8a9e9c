"""`s3fifo`: three queues, by Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP
2023, Algorithm 1.

A block enters the small queue S (a tenth of the room), or the main queue M if the ghost queue G remembers it. Asking
for it only counts, up to 3. When the cache is full and S has its tenth, the tail of S leaves and is remembered in G,
unless it was asked for more than once: then it moves to M with its count cleared, and M's own tail leaves if M is over
its nine tenths. Otherwise the tail of M leaves, but goes round again for each time that it was asked for.

The paper leaves some things open. Here S has at least one place; "M is full" means above its share, as the block is in
it already; G remembers as many blocks as M has places, and a block that comes back leaves it. One insertion may push
out two blocks (the tail of M and then that of S): the next one finds room.
"""

from __future__ import annotations

from collections import OrderedDict

from kvscen.cache.policy import Policy

SMALL, MAIN = 0, 1
_MOST = 3


class S3FIFO(Policy):
    name = "s3fifo"
    HEADS = 2

    def __init__(self, capacity: int | None) -> None:
        super().__init__(capacity)
        self._small_room = max(1, self.capacity // 10)
        self._main_room = self.capacity - self._small_room
        self._count = [0, 0]
        self._asked = bytearray(self.HEADS)
        self._queue = bytearray(self.HEADS)
        #: The oldest first.
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def touch(self, node: int) -> None:
        asked = self._asked
        if asked[node] < _MOST:
            asked[node] += 1

    def insert(self, key: int) -> int:
        while len(self.where) >= self.capacity:
            if self._count[SMALL] >= self._small_room:
                self._evict_small()
            else:
                self._evict_main()
        queue = SMALL
        if key in self._ghosts:
            del self._ghosts[key]
            queue = MAIN
        node = self._take(key)
        if node == len(self._asked):
            self._asked.append(0)
            self._queue.append(0)
        self._asked[node] = 0
        self._enter(node, queue)
        return node

    def remove(self, key: int) -> int:
        node = super().remove(key)
        self._count[self._queue[node]] -= 1
        return node

    def _enter(self, node: int, queue: int) -> None:
        self._queue[node] = queue
        self._count[queue] += 1
        self._link(node, queue)

    def _leave(self, node: int) -> None:
        self._count[self._queue[node]] -= 1
        self._unlink(node)

    def _evict_small(self) -> None:
        while self._count[SMALL]:
            tail = self._prev[SMALL]
            self._leave(tail)
            if self._asked[tail] <= 1:
                self._remember(self._push_out(tail))
                return
            self._asked[tail] = 0
            self._enter(tail, MAIN)
            if self._count[MAIN] > self._main_room:
                self._evict_main()

    def _evict_main(self) -> None:
        while self._count[MAIN]:
            tail = self._prev[MAIN]
            self._leave(tail)
            if not self._asked[tail]:
                self._push_out(tail)
                return
            self._asked[tail] -= 1
            self._enter(tail, MAIN)

    def _remember(self, key: int) -> None:
        self._ghosts[key] = None
        if len(self._ghosts) > self._main_room:
            self._ghosts.popitem(last=False)
