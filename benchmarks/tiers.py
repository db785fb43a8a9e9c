"""How fast a cache of several levels is decided and predicted: `python benchmarks/tiers.py [WHAT]...`.

    bookkeeping    block operations (a read, or the write after one that missed) a second, without I/O, for each policy
    requests       look-ups a second where whole requests are decided, as a prediction does
    memory         bytes for a cached block in a cache of 200,000 that has been full for a while, and for a key: s3fifo
                   and arc remember about as many keys again as they hold
    predict        seconds and memory for the whole LRU curve of 6.8 million look-ups, and of 100 million from a sample

CPU seconds of this one process are what is counted: other work on the machine does not spoil them much. Workloads are
drawn here: keys by Zipf's law (exponent 0.9), and sessions of agents whose requests repeat what came before and go on.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from kvscen.cache import POLICIES, CacheLevel, TieredCache
from kvscen.predict import lru_curve, sampled_curve

Int64s = npt.NDArray[np.int64]
KEYS, OPERATIONS = 200_000, 1_000_000


def zipf(count: int, keys: int, seed: int = 1) -> Int64s:
    weight = np.cumsum(1 / np.arange(1, keys + 1) ** 0.9)
    draw = np.random.default_rng(seed)
    return draw.permutation(keys)[np.searchsorted(weight, draw.random(count) * weight[-1])]


def sessions(lookups: int, seed: int = 1) -> tuple[Int64s, Int64s]:
    """Requests of agents: each session begins with one of four system prompts and grows to some 3,000 blocks."""
    draw = np.random.default_rng(seed)
    requests: list[Int64s] = []
    total, fresh = 0, 4000
    while total < lookups:
        context = np.arange(1000) + 1000 * draw.integers(4)
        for _ in range(draw.integers(40, 120)):
            more = int(draw.integers(4, 50))
            context = np.concatenate([context[: len(context) - draw.integers(0, 3)], np.arange(fresh, fresh + more)])
            fresh += more
            requests.append(context)
            total += len(context)
    return np.concatenate(requests), np.cumsum([0, *map(len, requests)])


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds, wall seconds)."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


CACHES: dict[str, tuple[list[float], dict[str, str]]] = {
    "one level": ([0.1], {}),
    "two levels": ([0.02, 0.1], {}),
    "two levels, promotion on a hit": ([0.02, 0.1], {"promotion": "hit"}),
    "two levels, written through": ([0.02, 0.1], {"write": "through"}),
}


def bookkeeping() -> None:
    keys = zipf(OPERATIONS, KEYS).tolist()
    print(f"{'cache':32}{'policy':16}{'hit rate':>9}{'operations/CPU s':>18}{'of the wall':>13}")
    for name, (shares, how) in CACHES.items():
        for policy in POLICIES:
            cache = TieredCache([CacheLevel(int(share * KEYS)) for share in shares], policy, **how)  # type: ignore[arg-type]

            def run(cache: TieredCache = cache) -> None:
                for key in keys:
                    if cache.read(key) is None:
                        cache.write(key)

            cpu, wall = timed(run)
            hits = sum(counts.hits for counts in cache.counts)
            operations = 2 * len(keys) - hits
            print(f"{name:32}{policy:16}{hits / len(keys):9.1%}{operations / cpu:18,.0f}{operations / wall:13,.0f}")


def requests() -> None:
    ids, offsets = sessions(2_000_000)
    keys = [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]
    distinct = len(np.unique(ids))
    print(f"{'policy':16}{'hit rate':>9}{'look-ups/CPU s':>16}")
    for policy in POLICIES:
        cache = TieredCache([CacheLevel(distinct // 10)], policy)
        cpu, _ = timed(lambda cache=cache: [cache.request(each) for each in keys])
        print(f"{policy:16}{cache.counts[0].hits / len(ids):9.1%}{len(ids) / cpu:16,.0f}")


def memory() -> None:
    capacity = 200_000
    print(f"{'policy':16}{'bytes/block':>12}{'bytes/key':>12}")
    for policy in POLICIES:
        gc.collect()
        tracemalloc.start()
        cache = TieredCache([CacheLevel(capacity)], policy)
        for key in range(10**12, 10**12 + 3 * capacity):
            # every third block is asked for three times, so that no queue of s3fifo and arc stays empty
            cache.write(key)
            if key % 3 == 0:
                cache.read(key)
                cache.read(key)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        remembered = {"s3fifo": 0.9, "arc": 1.0}.get(policy, 0.0)
        each = held / cache.occupancy(0)
        print(f"{policy:16}{each:12.0f}{each / (1 + remembered):12.0f}")


def predict() -> None:
    def peak() -> str:
        return f"most memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"

    def sampled() -> Iterator[tuple[Int64s, Int64s]]:
        for piece in range(100):
            yield zipf(1_000_000, 10_000_000, piece), np.arange(0, 1_000_001, 10)

    drawn, _ = timed(lambda: [None for _ in sampled()])
    cpu, wall = timed(lambda: sampled_curve(sampled(), most_lookups=1 << 20))
    print(f"sampled, 100,000,000 look-ups: {cpu - drawn:.1f} CPU s without the drawing, {peak()}")
    ids, offsets = sessions(6_831_864)
    for name, workload in (
        ("sessions", (ids, offsets)),
        ("sessions, block by block", (ids, np.arange(len(ids) + 1))),
        ("zipf, block by block", (zipf(len(ids), 300_000), np.arange(len(ids) + 1))),
    ):
        cpu, wall = timed(lambda workload=workload: lru_curve(*workload))
        print(f"{name}: {len(workload[0]):,} look-ups in {cpu:.2f} CPU s, {wall:.2f} s, {peak()}")


if __name__ == "__main__":
    parts = {"bookkeeping": bookkeeping, "requests": requests, "memory": memory, "predict": predict}
    wanted = sys.argv[1:] or list(parts)
    if unknown := set(wanted) - set(parts):
        sys.exit(f"{', '.join(sorted(unknown))}: there is {', '.join(parts)}")
    for part in wanted:
        parts[part]()
