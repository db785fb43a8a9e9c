"""What the tests of the driver `posix` share."""

import subprocess
import sys

import numpy as np

from kvscen.plugin import COMPLETION, OPERATION, WRITE, Layout, Tier, Work
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings

BLOCK = 64 << 10


_WORK = ("threads", "processes", "durability")


def open_store(path, keys=8, block=BLOCK, depth=16, **settings):
    """A store; what is no setting of the tier is the work's (`threads`, `processes`, `durability`)."""
    more = {name: settings.pop(name) for name in _WORK if name in settings}
    settings = {"direct": False, **settings}
    tier = Tier("disk", "posix", PosixSettings(path=str(path), **settings))
    return PosixDriver().open(tier, Work(op="read", block_bytes=block, batch=depth, keys=keys, **more), ())


def layout_of(keys, block=BLOCK, first=0):
    return Layout(keys, block, block, first, first + keys)


def rows(keys, kind, block=BLOCK):
    ops = np.zeros(len(keys), OPERATION)
    ops["id"] = np.arange(len(keys)) + 1
    ops["key"], ops["bytes"], ops["kind"] = keys, block, kind
    ops["buffer"] = np.arange(len(keys)) * block
    return ops


def do(lane, ops):
    """Run the operations; the completions in the order of their ids."""
    out = np.zeros(len(ops), COMPLETION)
    submitted = found = 0
    for _ in range(10_000):
        submitted += lane.submit(ops[submitted:])
        found += lane.reap(out[found:], 1, 100_000_000)
        if found == len(ops):
            return np.sort(out, order="id")
    raise AssertionError(f"{len(ops) - found} operations did not come back")


def fill(store, keys, block=BLOCK):
    """Write these keys with noise and settle."""
    arena = store.allocate(max(1, len(keys)) * block, "dram")
    arena.view[:] = np.random.PCG64(1).random_raw(arena.nbytes // 8).view(np.uint8)
    lane = store.lane(0, arena)
    done = do(lane, rows(keys, WRITE, block))
    assert (done["outcome"] == 0).all()
    store.settle()
    lane.close()
    arena.close()


def child(code, *arguments):
    """A Python process that runs `code` with the arguments in sys.argv; it can be talked to by lines."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
