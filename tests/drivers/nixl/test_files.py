"""NIXL's POSIX plugin on the files of a `posix` tier, in a worker's session."""

import os
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import ERROR, OK, READ, WRITE, DriverError, Load, Tier, Work, host_arena
from kvscen_drivers.nixl import wheel
from kvscen_drivers.nixl.agent import ACTIVE, DONE, Agent, Place
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.posix.settings import PosixSettings
from tests.drivers.nixl.support import BLOCK, do, layout_of, needs_nixl, open_store, rows, tier_of

pytestmark = needs_nixl

TARGETS = {"nixl": "kvscen_drivers.nixl.driver:NixlDriver", "posix": "kvscen_drivers.posix.driver:PosixDriver"}


@pytest.fixture
def session():
    session = Session()
    yield session
    session.close()


def _ask(session, request):
    reply = session.handle(request)
    assert not isinstance(reply, messages.Failed), reply
    return reply


def _armed(session, tier, op="read", operations=24, **more):
    """A tier that is opened, laid out, verified and armed; the bytes that were laid out."""
    time_ns = None if operations else 200_000_000
    work = Work(op, BLOCK, 4, 12, threads=2, time_ns=time_ns, operations=operations, **more)
    _ask(session, messages.Open("p", tier, work, 0, TARGETS, 1))
    prepared = _ask(session, messages.Prepare("p"))
    verified = _ask(session, messages.Verify("p", 1))
    assert not verified.mismatch and verified.verified_bytes == 12 * BLOCK
    _ask(session, messages.Arm("p", 7))
    return prepared.written_bytes


@pytest.mark.parametrize("api", ["aio", "uring", "posix_aio"])
@pytest.mark.parametrize("wait", ["operation", "batch"])
@pytest.mark.parametrize("op", ["read", "write"])
def test_every_interface(session, tmp_path, api, wait, op):
    _armed(session, tier_of(path=str(tmp_path / "d"), api=api, direct=False), op, wait=wait)
    measured = _ask(session, messages.Go(time.perf_counter_ns()))
    assert measured.sample.operations == 24 and not measured.sample.errors
    measures = measured.measures
    assert measures["transfers"] >= (24 if wait == "operation" else 6)
    assert measures["requests_made"] <= measures["transfers"]
    assert measures["post_mean_ns"] > 0
    assert measured.path == "page cache" and f"POSIX ({api}), buffered" in measured.path_evidence


def test_all_operations_of_a_batch_have_one_end(tmp_path):
    store = open_store(tier_of(path=str(tmp_path / "d"), direct=False), wait="batch")
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    store.prepare(layout_of())
    done = do(lane, rows(range(8), WRITE))
    assert (done["outcome"] == OK).all() and len(set(done["end"].tolist())) == 1
    assert store.measures()["transfers"] == 1
    lane.close()
    store.close()


def test_blocks_that_are_neighbours_are_not_merged(tmp_path, monkeypatch):
    """Requests out of prepared lists would merge them, and a batch of blocks would be one large block."""
    api = wheel.api()
    telling = partial(api.nixl_agent_config, capture_telemetry=True)
    monkeypatch.setattr(wheel, "api", lambda: SimpleNamespace(nixl_agent=api.nixl_agent, nixl_agent_config=telling))
    arena = host_arena(8 * BLOCK)
    agent = Agent("POSIX", {"use_aio": "true"}, {}, arena)
    with (tmp_path / "file").open("wb+") as file:
        agent.turn_to(Place("FILE", 0, file.fileno()))
        request = agent.request(True, [(arena.address + i * BLOCK, i * BLOCK, BLOCK) for i in range(8)])
        state = agent.post(request)
        while state == ACTIVE:
            state = agent.look(request)
        seen = agent._agent.get_xfer_telemetry(request)
        assert (state, seen.descCount, seen.totalBytes) == (DONE, 8, 8 * BLOCK)
        del request
        agent.close()
    arena.close()


def test_the_blocks_are_those_of_posix(session, tmp_path):
    """What `posix` has laid out `nixl` finds, and what it writes `posix` reads."""
    folder = str(tmp_path / "d")
    assert _armed(session, Tier("plain", "posix", PosixSettings(path=folder, direct=False))) == 12 * BLOCK
    session.close()
    assert _armed(session, tier_of(path=folder, direct=False)) == 0
    store = open_store(tier_of(path=folder, direct=False))
    arena = store.allocate(8 * BLOCK, "dram")
    arena.view[:] = 0x5A
    lane = store.lane(0, arena)
    store.prepare(layout_of())
    do(lane, rows(range(8), WRITE))
    assert (tmp_path / "d" / "blocks.data").read_bytes()[: 8 * BLOCK] == bytes([0x5A]) * 8 * BLOCK
    lane.close()
    store.close()


@pytest.mark.parametrize("wait", ["operation", "batch"])
def test_a_file_that_is_truncated_under_the_load(session, tmp_path, wait):
    """The reason says what became of the file, and with NIXL 1.5.1 and newer which operation was short."""
    _armed(session, tier_of(path=str(tmp_path / "d"), direct=False), operations=None, wait=wait)
    file = tmp_path / "d" / "blocks.data"
    os.truncate(file, 11 * BLOCK + 1000)
    failed = session.handle(messages.Go(time.perf_counter_ns()))
    assert isinstance(failed, messages.Failed) and failed.status == "error"
    assert f"{file} was truncated while the run goes on" in failed.reason
    assert "EIO" in failed.reason


@pytest.mark.parametrize("api", ["aio", "uring", "posix_aio"])
def test_a_short_read_is_an_error(tmp_path, api):
    """NIXL 1.4 counted it as done."""
    store = open_store(tier_of(path=str(tmp_path / "d"), direct=False, api=api))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    store.prepare(layout_of())
    do(lane, rows(range(8), WRITE))
    os.truncate(tmp_path / "d" / "blocks.data", 7 * BLOCK + 1000)
    done = do(lane, rows([6, 7], READ))
    assert done["outcome"].tolist()[-1] == ERROR and done["errno"][-1] and not done["bytes"][-1]
    with pytest.raises(DriverError, match="was truncated"):
        store.check()
    lane.close()
    store.close()


def test_durable_writes(tmp_path):
    store = open_store(tier_of(path=str(tmp_path / "d"), direct=False), op="write", durability="each")
    assert "each write durable (O_DSYNC)" in store.path().evidence
    file = (tmp_path / "d" / "blocks.data").resolve()
    numbers = [entry.name for entry in Path("/proc/self/fd").iterdir() if entry.resolve() == file]
    infos = [Path(f"/proc/self/fdinfo/{number}").read_text() for number in numbers]
    assert any(int(info.split("flags:")[1].split()[0], 8) & os.O_DSYNC == os.O_DSYNC for info in infos)
    store.close()


def test_the_ceiling_is_that_of_posix(tmp_path):
    work = Work("read", BLOCK, 4, 8, time_ns=10**9, ceiling="fio")
    store = open_store(tier_of(path=str(tmp_path / "d"), direct=False, api="uring"))
    arena = store.allocate(8 * BLOCK, "dram")
    lane = store.lane(0, arena)
    store.prepare(layout_of())
    do(lane, rows(range(8), WRITE))
    peer = store.ceiling(Load(work, ((0, 8),), 4, BLOCK, "huge", 10**9))
    assert "--ioengine=io_uring" in peer.argv
    lane.close()
    store.close()


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(DriverError, match="holds something that kvscen did not put there"):
        open_store(tier_of(path=str(tmp_path)))
    here = PosixDriver().probe(Tier("t", "posix", PosixSettings(path=str(tmp_path))))
    assert not here.ok
