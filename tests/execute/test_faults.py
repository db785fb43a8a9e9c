"""Real worker processes with a driver that goes wrong: every fault has its status, and the next point is measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import attrs
import pytest
import trio

from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Tier, Work
from kvscen.results.record import TrialRecord
from kvscen.testing.fake import FakeDriver
from tests.execute.support import Silent, make_plan, make_point, registry_of

#: It waits for a short `timeout` to pass, and for nothing else to pass it.
waits = pytest.mark.alone

# Where nothing hangs, a machine that is busy with something else is no fault.
WORK = Work(op="read", block_bytes=4096, batch=4, keys=16, operations=400, timeout_ns=20 * 10**9)
HANGING = attrs.evolve(WORK, timeout_ns=1_500_000_000)
REGISTRY = registry_of(fake=FakeDriver)


def fake(name: str, fault: str, after: int = 0, latency_ns: int = 100_000) -> Tier:
    return Tier(name, "fake", FakeDriver.settings(fault=fault, after=after, latency_ns=latency_ns))


def run(folder: Path, work: Work, *tiers: Tier, trials: int = 1) -> list[TrialRecord]:
    """One point for each tier, in order, with real workers."""
    records: list[TrialRecord] = []
    points = [make_point(tier.name, tier, work, trials, "sequential") for tier in tiers]

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> None:
        await Conductor(make_plan(*points), REGISTRY, folder, 7, records.append, start, Silent()).run()

    trio.run(main)
    return records


# 16 operations lay the data out, 32 verify it: a fault after 40 strikes in the verification, after 100 in the load.
@pytest.mark.parametrize(
    ("fault", "after", "status", "words"),
    [
        ("unavailable", 0, "unavailable", ""),
        ("refuse", 0, "error", ""),
        ("raise_open", 0, "error", "raised"),
        pytest.param("hang_prepare", 0, "hang", "1.5 s", marks=waits),
        pytest.param("hang_submit", 100, "hang", "1.5 s", marks=waits),
        pytest.param("hang_reap", 100, "hang", "1.5 s", marks=waits),
        pytest.param("stall", 100, "hang", "1.5 s", marks=waits),
        pytest.param("lost", 100, "hang", "1.5 s", marks=waits),
        ("exit", 100, "error", "exit code 3"),
        ("kill", 100, "error", "SIGKILL"),
        ("raise", 100, "error", "raised"),
        ("error", 100, "error", "EIO"),
        ("short", 100, "error", "2048 bytes as done for a read of 4096 bytes"),
        ("lie", 30, "corrupt", "block"),
        ("too_many", 100, "error", "8192 bytes as done for a read of 4096 bytes"),
        ("unknown_id", 100, "error", "never submitted"),
        ("twice", 100, "error", "twice"),
        ("corrupt", 40, "corrupt", "8 flipped bits"),
        ("lost_write", 20, "corrupt", "block"),
        ("swapped", 20, "corrupt", "holds the content of block"),
        ("print", 0, "ok", ""),
    ],
)
def test_a_fault_has_its_status_and_the_run_goes_on(
    tmp_path: Path, fault: str, after: int, status: str, words: str
) -> None:
    bad, good = run(tmp_path, HANGING if status == "hang" else WORK, fake("bad", fault, after), fake("good", "none"))
    assert (bad.status, good.status) == (status, "ok"), bad.reason
    assert words in bad.reason
    assert bool(bad.reason) == (status != "ok")
    assert good.measures["verified_bytes"] == 16 * 4096


#: 16 operations lay the data out; what settles after the 17th is the end of the load.
DURABLE = attrs.evolve(
    HANGING,
    operations=None,
    time_ns=100_000_000,
    timeout_ns=600_000_000,
    op="write",
    durability="end",
    verify="off",
    sync_timeout_ns=10**10,
)


@waits
def test_making_it_durable_may_take_longer_than_operations_may(tmp_path: Path) -> None:
    (record,) = run(tmp_path, DURABLE, fake("slow", "slow_settle", after=17, latency_ns=8_000_000))
    assert record.status == "ok", record.reason
    assert record.measures["sync_ns"] >= 800_000_000 > DURABLE.timeout_ns
    took = record.measures["window_ns"] + record.measures["sync_ns"]
    assert record.measures["operations_per_s"] == pytest.approx(record.measures["operations"] * 1e9 / took)


@waits
@pytest.mark.parametrize("after", [0, 17])
def test_what_never_becomes_durable_is_a_hang(tmp_path: Path, after: int) -> None:
    work = attrs.evolve(DURABLE, sync_timeout_ns=400_000_000)
    bad, good = run(tmp_path, work, fake("bad", "hang_settle", after), fake("good", "none"))
    assert (bad.status, good.status) == ("hang", "ok"), bad.reason
    assert bad.reason == "what was written was not durable after 0.4 s (sync_timeout); the worker was killed"


def _beginning(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Workers run this before anything else."""
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@waits
def test_how_long_a_worker_takes_to_start_is_not_limited_by_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _beginning(monkeypatch, tmp_path, "import time; time.sleep(2)")
    work = attrs.evolve(WORK, operations=16, processes=2, timeout_ns=HANGING.timeout_ns)
    (record,) = run(tmp_path, work, fake("good", "none"))
    assert record.status == "ok", record.reason


def test_a_worker_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _beginning(monkeypatch, tmp_path, "import os; print('no room', flush=True); os._exit(9)")
    (record,) = run(tmp_path, WORK, fake("good", "none"))
    assert record.status == "error"
    assert record.reason == "the worker died: exit code 9; its last words: no room"


def test_a_corrupt_point_is_not_measured(tmp_path: Path) -> None:
    records = run(tmp_path, WORK, fake("bad", "swapped", 20), trials=3)
    assert [r.status for r in records] == ["corrupt"] * 3
    assert all("throughput_bytes_per_s" not in r.measures for r in records)


def test_with_verification_off_nothing_is_claimed(tmp_path: Path) -> None:
    (record,) = run(tmp_path, attrs.evolve(WORK, verify="off"), fake("good", "none"))
    assert record.status == "ok" and record.measures["verified_bytes"] is None


def test_what_a_driver_prints_goes_to_its_log(tmp_path: Path) -> None:
    run(tmp_path, WORK, fake("chatty", "print"))
    assert (tmp_path / "logs" / "chatty-0.log").stat().st_size > 0


def test_two_processes_with_two_lanes_share_keys_and_window(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, operations=None, time_ns=100_000_000, processes=2, threads=2)
    (record,) = run(tmp_path, work, fake("good", "none"))
    assert record.status == "ok", record.reason
    assert record.measures["verified_bytes"] == 16 * 4096
    starts = {row["window_start_ns"] for row in record.workers}
    assert len(record.workers) == 2 and len(starts) == 1
    assert sum(row["operations"] for row in record.workers) == record.measures["operations"]


def test_counted_operations_are_counted_exactly(tmp_path: Path) -> None:
    for threads, processes in ((1, 1), (2, 1), (2, 2)):
        work = attrs.evolve(WORK, operations=101, warmup_ns=20_000_000, threads=threads, processes=processes)
        (record,) = run(tmp_path, work, fake("good", "none"))
        assert (record.status, record.measures["operations"]) == ("ok", 101), record.reason
    (record,) = run(tmp_path, attrs.evolve(work, operations=1), fake("good", "none"))
    assert (record.status, record.measures["operations"]) == ("ok", 1), record.reason
    assert 0 < record.measures["window_ns"] < 10**10


@waits
def test_an_open_loop_keeps_its_rate_and_reports_the_delay(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, rate_per_s=Fraction(500), operations=None, time_ns=400_000_000, depth=4)
    (record,) = run(tmp_path, work, fake("good", "none"))
    measures = record.measures
    assert record.status == "ok", record.reason
    assert measures["offered_per_s"] == 500
    assert measures["operations"] in range(100, 202)
    assert {series.phase for series in record.latency if series.unit == "block"} == {"latency", "service", "delay"}


def test_an_open_loop_beyond_what_the_tier_can_do_shows_a_backlog(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, rate_per_s=Fraction(20_000), operations=None, time_ns=200_000_000, depth=1)
    (record,) = run(tmp_path, work, fake("slow", "none", latency_ns=2_000_000))
    measures = record.measures
    assert measures["achieved_per_s"] < 1000 < measures["offered_per_s"]
    assert measures["backlog"] > 1000
    # What is due at the end waited for nearly the whole window.
    assert measures["latency_max_ns"] > 100_000_000


def test_a_whole_batch_is_waited_for(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, wait="batch", batch=4, depth=2)
    (record,) = run(tmp_path, work, fake("good", "none", latency_ns=1_000_000))
    assert record.status == "ok" and record.measures["depth_used"] == 8
    batches = next(s for s in record.latency if s.unit == "batch")
    assert sum(batches.count) >= record.measures["operations"] // 4 - 4


def test_a_worker_dies_with_its_conductor(tmp_path: Path) -> None:
    script = f"""
import os, sys, trio
from pathlib import Path
from kvscen.execute.channel import ProcessChannel
async def main():
    print(ProcessChannel(Path({str(tmp_path / "log")!r})).pid, flush=True)
    await trio.sleep_forever()
trio.run(main)
"""
    conductor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert conductor.stdout is not None
    worker = int(conductor.stdout.readline())
    os.kill(worker, 0)
    conductor.send_signal(signal.SIGKILL)
    conductor.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.02)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
