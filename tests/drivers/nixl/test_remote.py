"""UCX between the worker and a target process: its memory, its life, and which way the bytes go."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError, Layout, Work
from kvscen_drivers.nixl import remote, wheel
from tests.drivers.nixl.support import BLOCK, command_of, do, layout_of, needs_nixl, open_store, rows, tier_of
from tests.processes import kill

pytestmark = needs_nixl


@pytest.fixture
def tier():
    tier = tier_of(backend="UCX")
    verdict = wheel.examine("UCX", {}, {})
    if not verdict.ok:
        pytest.skip(verdict.reason)
    return tier


@pytest.fixture(autouse=True)
def _no_leftovers():
    yield
    left = list(remote._target_of.values())
    remote._target_of.clear()
    for target in left:
        target.close()
    assert not left, "a target that nobody has closed"


def _ready(store, keys=8, block=BLOCK):
    arena = store.allocate(keys * block, "dram")
    lane = store.lane(0, arena)
    missing = store.prepare(layout_of(keys, block))
    if len(missing):
        assert (do(lane, rows(missing, WRITE, block))["outcome"] == OK).all()
        store.settle()
    return lane, arena


def _pid(store):
    return store._target.pid


def test_the_target_ends_with_the_last_store(tier):
    first, second = open_store(tier), open_store(tier)
    pid = _pid(first)
    assert _pid(second) == pid and "nixl.target UCX" in command_of(pid)
    first.close()
    assert command_of(pid)
    second.close()
    assert not command_of(pid)


def test_other_variables_are_another_target(tier):
    tcp = tier_of(backend="UCX", env=("UCX_TLS=tcp",))
    first, second = open_store(tier), open_store(tcp)
    assert _pid(first) != _pid(second) and command_of(_pid(second))
    assert b"UCX_TLS=tcp" in Path(f"/proc/{_pid(second)}/environ").read_bytes()
    first.close()
    second.close()


@pytest.mark.parametrize("wait", ["operation", "batch"])
@pytest.mark.parametrize("op", ["read", "mixed"])
def test_a_trial(tier, op, wait):
    session = Session()
    work = Work(op, BLOCK, 4, 12, threads=2, operations=48, wait=wait)
    try:
        for request in (
            messages.Open("p", tier, work, 0, {"nixl": "kvscen_drivers.nixl.driver:NixlDriver"}, 1),
            messages.Prepare("p"),
            messages.Verify("p", 1),
            messages.Arm("p", 7),
            messages.Go(time.perf_counter_ns()),
        ):
            reply = session.handle(request)
            assert not isinstance(reply, messages.Failed), reply
            if isinstance(reply, messages.Verified):
                assert not reply.mismatch and reply.verified_bytes
        assert reply.sample.operations == 48 and not reply.sample.errors
        assert reply.measures["transfers"] >= 12 and reply.path != "unknown"
    finally:
        session.close()


@pytest.mark.parametrize("op", ["read", "write"])
def test_which_way_the_bytes_go(tier, op):
    store = open_store(tier_of(backend="UCX", env=("UCX_TLS=tcp",)), op=op)
    assert store.path().kind == "unknown"
    arena = store.allocate(8 * BLOCK, "dram")
    arena.view[:] = 7
    lane = store.lane(0, arena)
    store.prepare(layout_of())
    assert store.path().kind == "tcp" and "lo sent all" in store.path().evidence
    assert (arena.view == 7).all(), "the buffers are not what they were"
    lane.close()
    store.close()


def test_what_is_written_is_kept_where_the_target_grows(tier):
    """A point that needs more gets other memory; the point before it is told."""
    small, large = open_store(tier), open_store(tier, keys=64)
    lane, arena = _ready(small)
    before = small._target.place
    other, other_arena = _ready(large, keys=64)
    assert small._target.place != before
    small.reset()
    assert (do(lane, rows(range(8), READ))["outcome"] == OK).all()
    wanted = np.random.PCG64(1).random_raw(BLOCK).view(np.uint8)
    arena.view[:] = wanted
    do(lane, rows(range(8), WRITE))
    arena.view[:] = 0
    assert (do(lane, rows(range(8), READ))["outcome"] == OK).all()
    assert np.array_equal(arena.view, wanted)
    assert len(small.prepare(layout_of())) == 0
    for closing in (lane, arena, other, other_arena, small, large):
        closing.close()


def test_another_layout_is_laid_out_anew(tier):
    store = open_store(tier)
    lane, arena = _ready(store)
    assert len(store.prepare(layout_of())) == 0
    assert len(store.prepare(Layout(4, 2 * BLOCK, 2 * BLOCK, 100, 4))) == 4
    lane.close()
    arena.close()
    store.close()


def test_a_target_that_is_killed(tier):
    """The operations fail, and the reason says why."""
    store = open_store(tier)
    lane, arena = _ready(store)
    kill(_pid(store))
    done = do(lane, rows(range(8), READ))
    assert (done["outcome"] == ERROR).all() and (done["errno"] != 0).all() and not done["bytes"].any()
    for late in (store.check, store.reset):
        with pytest.raises(DriverError, match=r"tier `t`: the target process, .* ended with status -9"):
            late()
    lane.close()
    arena.close()
    store.close()


def test_more_than_the_machine_has(tier):
    store = open_store(tier)
    with pytest.raises(DriverError, match=r"do not fit in the .* of free memory, where the target process keeps them"):
        store.prepare(Layout(2**40, BLOCK, BLOCK, 0, 2**40))
    store.close()


def test_the_target_ends_with_the_worker(tier):
    """However the worker ends."""
    script = (
        "import sys, time\n"
        "from tests.drivers.nixl.support import open_store, tier_of\n"
        "print(open_store(tier_of(backend='UCX'))._target.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert "nixl.target" in command_of(pid)
        worker.kill()
    deadline = time.monotonic() + 10
    while command_of(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not command_of(pid)


def test_an_idle_target_takes_no_cpu(tier):
    """It would be missed by the trials of other tiers."""
    store = open_store(tier)
    lane, arena = _ready(store)
    time.sleep(0.7)

    def cpu_s():
        fields = Path(f"/proc/{_pid(store)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_s()
    time.sleep(1.0)
    assert cpu_s() - before <= 0.2
    lane.close()
    arena.close()
    store.close()
