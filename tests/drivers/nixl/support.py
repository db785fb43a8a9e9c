"""What the tests of the driver `nixl` share."""

import time
from pathlib import Path

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, OPERATION, Layout, Tier, Work
from kvscen_drivers.nixl import wheel
from kvscen_drivers.nixl.driver import NixlDriver
from kvscen_drivers.nixl.settings import NixlSettings

BLOCK = 64 << 10

#: For tests that move bytes with NIXL itself.
needs_nixl = pytest.mark.skipif(wheel.package() is None, reason=f"{wheel.MISSING}: {wheel.INSTALL}")


def tier_of(**settings):
    return Tier("t", "nixl", NixlSettings(**settings).complete())


def open_store(tier, keys=8, block=BLOCK, **work):
    return NixlDriver().open(
        tier, Work(**{"op": "read", "block_bytes": block, "batch": keys, "keys": keys, **work}), ()
    )


def layout_of(keys=8, block=BLOCK):
    return Layout(keys, block, block, 0, keys)


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
    for _ in range(300):
        submitted += lane.submit(ops[submitted:])
        found += lane.reap(out[found:], 1, 100_000_000)
        if found == len(ops):
            return np.sort(out, order="id")
    raise AssertionError(f"{len(ops) - found} operations did not come back")


def command_of(pid):
    """The command line of a process; "" where it is gone. It is empty for a moment while a process begins."""
    for _ in range(100):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return ""
        if command or ended:
            return command
        time.sleep(0.01)
    return ""
