"""What tests of the driver `redis` share."""

import contextlib

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, OPERATION, READ, WRITE, Layout, SecretFile, Tier, Work
from kvscen_drivers.redis.driver import RedisDriver
from kvscen_drivers.redis.server import Private
from kvscen_drivers.redis.settings import RedisSettings

_here = RedisDriver().probe(None)

#: For tests that need a server of their own.
needs_server = pytest.mark.skipif(not _here.ok, reason=f"{_here.reason}: {_here.remedy}")

BLOCK = 4096


def tier(**settings):
    return Tier("kv", "redis", RedisSettings(**settings).complete())


def work(keys=8, **more):
    return Work(**{"op": "mixed", "block_bytes": BLOCK, "batch": 4, "keys": keys, "depth": 4} | more)


@contextlib.contextmanager
def named_server(folder, **settings):
    """A server that was started by somebody, and what to write into a tier to use it."""
    server = Private(tier(**settings))
    secret = folder / "password"
    secret.write_text(server.password + "\n")
    try:
        yield server, {"endpoint": str(server.address), "password": SecretFile("password", str(secret))}
    finally:
        server.close()


def opened(where, keys=8, fill=True, **more):
    """A store, a lane and an arena with a buffer for each key; every key written."""
    store = RedisDriver().open(where, work(keys, **more), ())
    arena = store.allocate(keys * BLOCK, "dram")
    lane = store.lane(0, arena)
    arena.put(0, arena.nbytes, np.random.default_rng(7).integers(0, 256, arena.nbytes, np.uint8))
    missing = list(store.prepare(Layout(keys, BLOCK, BLOCK, 0, keys)))
    if fill and missing:
        assert (run(lane, ops(missing, WRITE))["outcome"] == 0).all()
    return store, lane, arena


def ops(keys, kind=READ, nbytes=BLOCK, first_id=0):
    rows = np.zeros(len(keys), OPERATION)
    rows["id"], rows["key"], rows["kind"], rows["bytes"] = np.arange(len(keys)) + first_id, keys, kind, nbytes
    rows["buffer"] = np.arange(len(keys)) * nbytes
    return rows


def run(lane, rows, patience=50):
    """Submit all and reap all; the completions in the order of `rows`."""
    assert lane.submit(rows) == len(rows)
    return reap(lane, rows, patience)


def reap(lane, rows, patience=50):
    done, out = np.zeros(len(rows), COMPLETION), np.zeros(len(rows), COMPLETION)
    found = 0
    for _ in range(patience):
        count = lane.reap(out, 1, 200_000_000)
        for row in out[:count]:
            done[int(row["id"]) - int(rows["id"][0])] = row
        found += count
        if found == len(rows):
            return done
    raise AssertionError(f"{found} of {len(rows)} operations came back")
