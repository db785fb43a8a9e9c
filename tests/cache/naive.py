"""Policies as their papers put them, with plain lists: too slow to use and too simple to be wrong.

Each holds `capacity` blocks; `access(key)` is a look-up that lets the block in where it misses.
"""

from __future__ import annotations


class Naive:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def held(self) -> set[int]:
        raise NotImplementedError

    def access(self, key: int) -> bool:
        raise NotImplementedError


class Listed(Naive):
    """Policies that only differ in what a hit does to a list, the next one to leave first."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.blocks: list[int] = []

    def held(self) -> set[int]:
        return set(self.blocks)

    def hit(self, key: int) -> None:
        pass

    def access(self, key: int) -> bool:
        if key in self.blocks:
            self.hit(key)
            return True
        if len(self.blocks) == self.capacity:
            self.blocks.pop(0)
        self.blocks.append(key)
        return False


class NaiveFIFO(Listed):
    pass


class NaiveLRU(Listed):
    def hit(self, key: int) -> None:
        self.blocks.remove(key)
        self.blocks.append(key)


class NaiveLFU(Naive):
    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.blocks: dict[int, tuple[int, int]] = {}  # key -> how often, when last
        self.now = 0

    def held(self) -> set[int]:
        return set(self.blocks)

    def access(self, key: int) -> bool:
        self.now += 1
        hit = key in self.blocks
        if not hit and len(self.blocks) == self.capacity:
            del self.blocks[min(self.blocks, key=lambda k: self.blocks[k])]
        self.blocks[key] = (self.blocks.get(key, (0, 0))[0] + 1, self.now)
        return hit


class NaiveS3FIFO(Naive):
    """Algorithm 1 of the paper, line by line. Queues: the head first, the tail last."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.s: list[int] = []
        self.m: list[int] = []
        self.g: list[int] = []
        self.freq: dict[int, int] = {}
        self.s_size = max(1, capacity // 10)
        self.m_size = capacity - self.s_size

    def held(self) -> set[int]:
        return set(self.s) | set(self.m)

    def access(self, x: int) -> bool:  # READ
        if x in self.s or x in self.m:
            self.freq[x] = min(self.freq[x] + 1, 3)
            return True
        self.insert(x)
        self.freq[x] = 0
        return False

    def insert(self, x: int) -> None:
        while len(self.s) + len(self.m) >= self.capacity:
            self.evict()
        if x in self.g:
            self.g.remove(x)
            self.m.insert(0, x)
        else:
            self.s.insert(0, x)

    def evict(self) -> None:
        if len(self.s) >= self.s_size:
            self.evict_s()
        else:
            self.evict_m()

    def evict_s(self) -> None:
        evicted = False
        while not evicted and len(self.s) > 0:
            t = self.s.pop()
            if self.freq[t] > 1:
                self.m.insert(0, t)
                self.freq[t] = 0
                if len(self.m) > self.m_size:
                    self.evict_m()
            else:
                self.g.insert(0, t)
                self.g = self.g[: self.m_size]
                evicted = True

    def evict_m(self) -> None:
        evicted = False
        while not evicted and len(self.m) > 0:
            t = self.m.pop()
            if self.freq[t] > 0:
                self.m.insert(0, t)
                self.freq[t] -= 1
            else:
                evicted = True


class NaiveARC(Naive):
    """ARC(c) of figure 4, case by case. Lists: LRU first, MRU last."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.t1: list[int] = []
        self.t2: list[int] = []
        self.b1: list[int] = []
        self.b2: list[int] = []
        self.p = 0.0

    def held(self) -> set[int]:
        return set(self.t1) | set(self.t2)

    def replace(self, x: int) -> None:
        if len(self.t1) >= 1 and ((x in self.b2 and len(self.t1) == self.p) or len(self.t1) > self.p):
            self.b1.append(self.t1.pop(0))
        else:
            self.b2.append(self.t2.pop(0))

    def access(self, x: int) -> bool:
        c = self.capacity
        if x in self.t1 or x in self.t2:
            (self.t1 if x in self.t1 else self.t2).remove(x)
            self.t2.append(x)
            return True
        if x in self.b1:
            delta = 1.0 if len(self.b1) >= len(self.b2) else len(self.b2) / len(self.b1)
            self.p = min(self.p + delta, c)
            self.replace(x)
            self.b1.remove(x)
            self.t2.append(x)
        elif x in self.b2:
            delta = 1.0 if len(self.b2) >= len(self.b1) else len(self.b1) / len(self.b2)
            self.p = max(self.p - delta, 0.0)
            self.replace(x)
            self.b2.remove(x)
            self.t2.append(x)
        else:
            if len(self.t1) + len(self.b1) == c:
                if len(self.t1) < c:
                    self.b1.pop(0)
                    self.replace(x)
                else:
                    self.t1.pop(0)
            else:
                total = len(self.t1) + len(self.t2) + len(self.b1) + len(self.b2)
                if total >= c:
                    if total == 2 * c:
                        self.b2.pop(0)
                    self.replace(x)
            self.t1.append(x)
        return False


NAIVE: dict[str, type[Naive]] = {
    "lru": NaiveLRU,
    "fifo": NaiveFIFO,
    "lfu": NaiveLFU,
    "s3fifo": NaiveS3FIFO,
    "arc": NaiveARC,
}
