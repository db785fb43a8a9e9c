"""A posix tier as a worker runs it, and files that somebody spoils under the run."""

import os
import time

import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plugin import Tier, Work
from kvscen_drivers.posix.driver import PosixDriver
from kvscen_drivers.posix.settings import PosixSettings
from tests.drivers.posix.support import BLOCK

TARGETS = {"posix": f"{PosixDriver.__module__}:{PosixDriver.__name__}"}
LAYOUTS = {"file": "blocks.data", "lane": "lanes/1.data", "block": "blocks/0/7.data"}


@pytest.fixture
def session():
    session = Session()
    yield session
    session.close()


def _ask(session, request):
    reply = session.handle(request)
    assert not isinstance(reply, messages.Failed), reply
    return reply


def _armed(session, folder, op="read", operations=None, **settings):
    """A tier that is opened, laid out, verified and armed."""
    tier = Tier("disk", "posix", PosixSettings(path=str(folder), direct=False, **settings))
    time_ns = None if operations else 100_000_000
    work = Work(op, BLOCK, 4, 12, threads=2, time_ns=time_ns, operations=operations, durability="each")
    _ask(session, messages.Open("p", tier, work, 0, TARGETS, 1))
    prepared = _ask(session, messages.Prepare("p"))
    assert prepared.written_bytes == 12 * BLOCK
    verified = _ask(session, messages.Verify("p", 1))
    assert not verified.mismatch and verified.verified_bytes == 12 * BLOCK
    _ask(session, messages.Arm("p", 7))


@pytest.mark.parametrize("engine", ["auto", "libaio", "threads"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["read", "write"])
def test_every_engine_and_layout(session, tmp_path, engine, layout, op):
    _armed(session, tmp_path / "data", op, 24, engine=engine, layout=layout, open_files=3)
    measured = _ask(session, messages.Go(time.perf_counter_ns()))
    assert measured.sample.operations == 24 and not measured.sample.errors
    assert measured.measures["page_cache_after_bytes"] == 12 * BLOCK


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_is_truncated_under_the_load(session, tmp_path, layout):
    """The reason names the operation that failed, with file, offset and errno, and what became of the file."""
    _armed(session, tmp_path / "data", operations=12_000, layout=layout)  # enough for both lanes
    file = tmp_path / "data" / LAYOUTS[layout]
    spoiled = (file.stat().st_size // BLOCK - 1) * BLOCK
    os.truncate(file, spoiled + 1000)
    failed = session.handle(messages.Go(time.perf_counter_ns()))
    assert isinstance(failed, messages.Failed) and failed.status == "error"
    assert f"{file} was truncated while the run goes on: it ends at {spoiled + 1000}, its blocks at" in failed.reason
    assert f"(read of {file} at {spoiled} ({BLOCK} bytes): EIO (Input/output error), short: 1000 bytes" in failed.reason
    again = session.handle(messages.Arm("p", 8))
    assert isinstance(again, messages.Failed) and "was truncated" in again.reason


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_is_replaced_under_the_load(session, tmp_path, layout):
    """No operation need fail: the old file is still open."""
    _armed(session, tmp_path / "data", layout=layout)
    file = tmp_path / "data" / LAYOUTS[layout]
    other = tmp_path / "other"
    other.write_bytes(file.read_bytes())
    other.replace(file)
    failed = session.handle(messages.Go(time.perf_counter_ns()))
    assert isinstance(failed, messages.Failed) and failed.status == "error"
    assert f"{file} was replaced by another file" in failed.reason
