"""How fast a cache of several levels is decided and predicted: `python benchmarks/tiers.py [WHAT]...`.

    bookkeeping    block operations (a read, or the write after one that missed) a second, without I/O, for each policy
    requests       look-ups a second where whole requests are decided, as a prediction does
    memory         bytes for a cached block in a cache of 200,000 that has been full for a while, and for a key: s3fifo
                   and arc remember about as many keys again as they hold
    predict        seconds and memory for the whole LRU curve of 6.8 million look-ups
    sampled        seconds, memory and error of the curve of 40 million look-ups from samples, beside the exact one
                   (which takes 6 GiB), and beside what theory expects of such look-ups
    billion        the same of a billion, beside theory alone (some minutes: has to be asked for)

CPU seconds of this one process are what is counted: other work on the machine does not spoil them much. Workloads are
drawn here: keys by Zipf's law (exponent 0.9), and sessions of agents whose requests repeat what came before and go on.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kvscen.cache import POLICIES, CacheLevel, TieredCache
from kvscen.predict import HitCurve, lru_curve, sampled_curve

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


def apart(call: Callable[..., tuple[float, Any]], *given: object) -> tuple[float, Any, float]:
    """(CPU seconds, result, GiB): of a call in a process of its own, whose most memory is that of the call."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_with_peak, call, *given).result()


def _with_peak(call: Callable[..., tuple[float, Any]], *given: object) -> tuple[float, Any, float]:
    cpu, result = call(*given)
    # Not ru_maxrss: a new program begins with what the one had that started it.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    return cpu, result, int(peak[1]) / 2**20


def _curve(which: str) -> tuple[float, Any]:
    ids, offsets = sessions(6_831_864) if which == "sessions" else (zipf(6_831_864, 300_000), None)
    cpu, wall = timed(lambda: lru_curve(ids, np.arange(len(ids) + 1) if offsets is None else offsets))
    return cpu, (len(ids), wall)


def predict() -> None:
    for which in ("sessions", "zipf, block by block"):
        cpu, (count, wall), peak = apart(_curve, which)
        print(f"{which}: {count:,} look-ups in {cpu:.2f} CPU s, {wall:.2f} s, most memory {peak:.2f} GiB")


# ---- very long traces

_EXPONENT = 0.9
_PIECE = 1_000_000
#: Multiplication by an odd number is one to one modulo 2^64: popular blocks have ids all over the place.
_SCRAMBLE = np.uint64(0x9E3779B97F4A7C15)
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def popular(lookups: int, blocks: int, seed: int = 1) -> Iterator[tuple[Int64s, Int64s]]:
    """Look-ups one by one, independent of each other: rank k of x^-0.9 over [k, k + 1), drawn by its inverse."""
    draw, offsets = np.random.default_rng(seed), np.arange(_PIECE + 1)
    high = (blocks + 1.0) ** (1 - _EXPONENT) - 1
    for _ in range(lookups // _PIECE):
        ranks = ((draw.random(_PIECE) * high + 1) ** (1 / (1 - _EXPONENT))).astype(np.uint64)
        yield (np.minimum(ranks, np.uint64(blocks)) * _SCRAMBLE).view(np.int64), offsets


def expected(lookups: int, blocks: int, capacities: Sequence[int]) -> list[float]:
    """The hit rate that LRU has of such look-ups from an empty cache on, by Che's approximation (Che, Tung, Wang,
    "Hierarchical web caching systems", JSAC 2002): a block is there if it was asked for within the last T look-ups,
    where T is the time in which so many different blocks are asked for. It is nearly exact for large caches."""
    edges = np.unique(np.concatenate([np.arange(1, 10**5), np.geomspace(10**5, blocks + 1, 20_000).round()]))
    count = np.diff(edges)
    power = 1 - _EXPONENT
    chance = np.diff(edges**power) / ((blocks + 1.0) ** power - 1) / count
    rates = []
    for capacity in capacities:
        low, high = 0.0, float(lookups)
        for _ in range(200):
            middle = (low + high) / 2
            below = float((count * -np.expm1(-chance * middle)).sum()) < capacity
            low, high = (middle, high) if below else (low, middle)
        # The t-th look-up finds its block with 1 - exp(-p min(t, T)); averaged over all t.
        found = low + np.expm1(-chance * low) / chance + (lookups - low) * -np.expm1(-chance * low)
        rates.append(float((count * chance * found).sum()) / lookups)
    return rates


def _draw_only(lookups: int, blocks: int) -> tuple[float, Any]:
    return timed(lambda: [None for _ in popular(lookups, blocks)])


def _sampled(lookups: int, blocks: int, most: int) -> tuple[float, Any]:
    curves: list[HitCurve] = []
    cpu, wall = timed(lambda: curves.append(sampled_curve(popular(lookups, blocks), most_lookups=most)))
    return cpu, (curves[0], wall)


def _exact(lookups: int, blocks: int) -> tuple[float, Any]:
    ids = np.concatenate([piece for piece, _ in popular(lookups, blocks)])
    curves: list[HitCurve] = []
    cpu, _ = timed(lambda: curves.append(lru_curve(ids, np.arange(len(ids) + 1))))
    at = [int(share * curves[0].distinct) for share in _SHARES]
    return cpu, (curves[0].distinct, [curves[0].at(capacity).hit_rate for capacity in at])


def long_trace(lookups: int, blocks: int, exact: bool) -> None:
    print(f"{lookups:,} look-ups of {blocks:,} blocks that may be asked for")
    drawing, _, _ = apart(_draw_only, lookups, blocks)
    samples = {}
    for most in (1 << 18, 1 << 20, 1 << 22):
        cpu, (curve, wall), peak = apart(_sampled, lookups, blocks, most)
        samples[most] = curve
        print(
            f"  at most {most:9,} kept, 1 of {round(1 / curve.rate)}: {cpu - drawing:6.1f} CPU s without the drawing "
            f"({drawing:.1f}), {wall:.1f} s, most memory {peak:.2f} GiB"
        )
    if exact:
        cpu, (distinct, rates), peak = apart(_exact, lookups, blocks)
        print(f"  exactly: {cpu:.1f} CPU s, most memory {peak:.2f} GiB, {distinct:,} blocks")
    else:
        distinct = next(reversed(samples.values())).distinct
    at = [int(share * distinct) for share in _SHARES]
    theory = expected(lookups, blocks, at)
    held = rates if exact else theory
    print("  blocks        " + ("exact   " if exact else "") + "theory  estimate, its error, the true one in percent")
    for row, capacity in enumerate(at):
        found = [curve.at(capacity) for curve in samples.values()]
        cells = [
            f"{each.hit_rate:8.2%} ±{100 * (each.standard_error or 0):5.2f} {100 * (each.hit_rate - held[row]):+6.2f}"
            for each in found
        ]
        known = f"{rates[row]:8.2%}" if exact else ""
        print(f"  {capacity:12,} {known}{theory[row]:8.2%}" + "  ".join(["", *cells]))
    for most, curve in samples.items():
        if curve.standard_error is not None:
            errors = np.array([curve.at(capacity).hit_rate for capacity in at]) - np.array(held)
            stated = np.array([curve.at(capacity).standard_error for capacity in at], float)
            print(f"  {most:9,}: true / stated error, root mean square: {np.sqrt(np.mean((errors / stated) ** 2)):.2f}")


def sampled() -> None:
    long_trace(40_000_000, 10_000_000, exact=True)


def billion() -> None:
    long_trace(1_000_000_000, 200_000_000, exact=False)


if __name__ == "__main__":
    parts = {"bookkeeping": bookkeeping, "requests": requests, "memory": memory, "predict": predict}
    parts |= {"sampled": sampled, "billion": billion}
    wanted = sys.argv[1:] or [part for part in parts if part != "billion"]
    if unknown := set(wanted) - set(parts):
        sys.exit(f"{', '.join(sorted(unknown))}: there is {', '.join(parts)}")
    for part in wanted:
        parts[part]()
