"""The driver `redis` beside redis-py on one server: `python benchmarks/stores.py [--rounds N]`

Both move blocks between the same buffers and the same private server, in one process, one connection each, interleaved
(A B B A). redis-py is given memoryviews, and what it returns is copied into the buffer, as a caller must who has one.
`pipelined` keeps 4 blocks in flight: our lane refills at once, redis-py executes pipelines of 4.

Ratios are ours / redis-py's, of bytes a second; medians with their range over the rounds. The machine should be
otherwise idle.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import redis
from rows import Row, show

from kvscen.plugin import COMPLETION, OK, OPERATION, READ, WRITE, Arena, Lane, Layout, Tier, Work
from kvscen_drivers.redis.settings import RedisSettings
from kvscen_drivers.redis.store import RedisStore

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
KEYS = 16
SECONDS = 0.5


def ours(lane: Lane, kind: int, block: int, depth: int) -> float:
    """Bytes a second of our lane."""
    ops, out = np.zeros(KEYS, OPERATION), np.zeros(depth, COMPLETION)
    ops["key"] = np.arange(KEYS)
    ops["buffer"] = np.arange(KEYS) % depth * block
    ops["bytes"], ops["kind"] = block, kind
    began, sent, done = time.perf_counter(), 0, 0
    stop = began + SECONDS
    while True:
        if time.perf_counter() < stop:
            first = sent % KEYS
            sent += lane.submit(ops[first : first + depth - (sent - done)])
        elif sent == done:
            return done * block / (time.perf_counter() - began)
        count = lane.reap(out, 1, 1_000_000_000)
        if (out["outcome"][:count] != OK).any():
            sys.exit(f"an operation failed: {out[:count]}")
        done += count


def theirs(client: redis.Redis, names: list[str], arena: Arena, kind: int, block: int, depth: int) -> float:
    """Bytes a second of redis-py."""
    buffers = [arena.view[i * block : (i + 1) * block] for i in range(depth)]
    views = [memoryview(buffer) for buffer in buffers]
    began, done = time.perf_counter(), 0
    while (now := time.perf_counter()) < began + SECONDS:
        asked = [names[(done + i) % KEYS] for i in range(depth)]
        if depth == 1 and kind == WRITE:
            client.set(asked[0], views[0])
        elif depth == 1:
            buffers[0][:] = np.frombuffer(client.get(asked[0]), np.uint8)
        else:
            with client.pipeline(transaction=False) as pipeline:
                for name, view in zip(asked, views, strict=True):
                    pipeline.set(name, view) if kind == WRITE else pipeline.get(name)
                answers = pipeline.execute()
            if kind == READ:
                for buffer, answer in zip(buffers, answers, strict=True):
                    buffer[:] = np.frombuffer(answer, np.uint8)
        done += depth
    return done * block / (now - began)


def measure(rounds: int, pause_s: float) -> Iterator[Row]:
    tier = Tier("kv", "redis", RedisSettings().complete())
    for block in (64 * KIB, MIB, 8 * MIB):
        store = RedisStore(tier, Work("mixed", block, 4, KEYS, depth=4))
        arena = store.allocate(4 * block, "dram")
        arena.put(0, arena.nbytes, np.random.default_rng(1).integers(0, 256, arena.nbytes, np.uint8))
        lane = store.lane(0, arena)
        store.prepare(Layout(KEYS, block, block, 0, KEYS))
        login = store.login
        client = redis.Redis(login.address.host, login.address.port, password=login.password, protocol=2)
        names = [f"kvscen:{block}:{key}" for key in range(KEYS)]
        for depth, how in ((1, ""), (4, ", pipelined")):
            for kind, verb in ((WRITE, "put"), (READ, "get")):
                one = partial(ours, lane, kind, block, depth)
                other = partial(theirs, client, names, arena, kind, block, depth)
                mine, its = [], []
                for number in range(rounds):
                    for side in (one, other) if number % 2 else (other, one):
                        time.sleep(pause_s)
                        (mine if side is one else its).append(side())
                what = f"{block // KIB} KiB, {verb}{how}"
                yield Row(f"{what}: ours", [value / GIB for value in mine], unit="GiB/s")
                yield Row(f"{what}: redis-py", [value / GIB for value in its], unit="GiB/s")
                yield Row(f"{what}: ratio", [a / b for a, b in zip(mine, its, strict=True)])
        lane.close()
        arena.close()
        store.close()
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each row (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds before each side (default: %(default)s)")
    options = parser.parse_args()
    print(show(list(measure(options.rounds, options.pause))))


if __name__ == "__main__":
    main()
