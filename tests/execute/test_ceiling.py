"""The program beside a trial: it runs, fails or hangs without costing the trial, and it never outlives the run.

A stand-in replays what a real fio printed; tests/e2e/test_ceiling.py has the real one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
import trio

from kvscen.execute import messages
from kvscen.execute.ceiling import CPU, NoCeiling, held_against, run_peer
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Point, Tier, Work
from kvscen.plugin import DriverError, Load, Peer, PeerFigures
from kvscen.results.record import TrialRecord
from kvscen_drivers.memory import MemoryDriver, MemoryStore
from kvscen_drivers.posix.fio import FioPeer
from tests.drivers.posix.fio import RATE, stand_in
from tests.execute.support import InProcessChannel, Script, Silent, make_plan, make_point, registry_of
from tests.processes import gone

WORK = Work(op="read", block_bytes=4096, batch=8, keys=32, time_ns=200_000_000, verify="off", ceiling="fio")


def fio(seconds: float = 0.1) -> FioPeer:
    return FioPeer(("fio", "--name=lane0"), {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, seconds, "io_uring")


def run(folder: Path, grace_s: float = 20.0) -> PeerFigures:
    return trio.run(run_peer, fio(), folder, grace_s)


def wait_for(path: Path) -> list[int]:
    for _ in range(1000):
        if path.exists() and path.read_text():
            return [int(pid) for pid in path.read_text().split()]
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")


def test_the_figures_and_what_is_kept_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = stand_in(tmp_path / "bin", monkeypatch)
    found = run(tmp_path / "out")
    assert found.operations_per_s == RATE
    assert json.loads(log.read_text()) == ["--name=lane0"]
    kept = json.loads((tmp_path / "out/command.json").read_text())
    assert kept == {"argv": list(fio().argv), "env": dict(fio().env)}
    assert "fio version" in (tmp_path / "out/stdout").read_text()


def test_the_cpu_time_is_that_of_the_whole_process(tmp_path: Path) -> None:
    """That of a thread that has ended, too."""
    code = (
        "import sys, threading, time\n"
        "def spin():\n"
        "    while time.thread_time() < 0.2: pass\n"
        "sys.stdin.readline()\n"
        "thread = threading.Thread(target=spin)\n"
        "thread.start(); thread.join()\n"
        "print('done', flush=True); sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        time.sleep(0.1)
        cpu = CPU(process.pid)
        cpu.look()
        print(file=process.stdin, flush=True)
        process.stdout.readline()
        cpu.look()
        assert cpu.first is not None and cpu.last is not None
        assert cpu.last[1] - cpu.first[1] >= 200_000_000
        assert cpu.share == (cpu.last[1] - cpu.first[1]) / (cpu.last[0] - cpu.first[0])
        process.stdin.close()
    before = cpu.last
    cpu.look()  # it is gone: that is no error, and changes nothing
    assert cpu.last == before
    assert CPU(process.pid).share is None


def test_one_sentence_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCeiling, match=r"not installed here; get it with `apt-get install fio` or `dnf install fio`"):
        run(tmp_path / "out")


@pytest.mark.parametrize(
    ("how", "message"),
    [("fail", "fio ended with status 1: fio: pid=1, err=5/file:io_u.c"), ("nonsense", "output cannot be read")],
)
def test_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str) -> None:
    stand_in(tmp_path / "bin", monkeypatch, how)
    with pytest.raises(NoCeiling, match=message):
        run(tmp_path / "out")


def test_one_that_hangs_is_killed_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, "hang")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_it_runs, nursery.cancel_scope)
            await run_peer(fio(), tmp_path / "out", 1000.0)

    async def until_it_runs(scope: trio.CancelScope) -> None:
        await trio.to_thread.run_sync(wait_for, tmp_path / "bin/pids")
        scope.cancel()

    trio.run(main)
    assert all(map(gone, wait_for(tmp_path / "bin/pids")))


def test_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, "hang")
    with pytest.raises(NoCeiling, match=r"fio did not end within 0\.1 s and was killed"):
        run(tmp_path / "out", 0.0)


def test_it_dies_with_the_conductor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, "hang")
    code = (
        "import sys, trio; from pathlib import Path; from tests.execute.test_ceiling import fio, run_peer;"
        "trio.run(run_peer, fio(), Path(sys.argv[1]), 1000.0)"
    )
    root = Path(__file__).parents[2]
    conductor = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], cwd=root)
    try:
        peer, _ = wait_for(tmp_path / "bin/pids")
    finally:
        conductor.kill()
        conductor.wait()
    assert gone(peer)
    # The real one has threads and no children; the stand-in's child is ours to end.
    os.kill(wait_for(tmp_path / "bin/pids")[1], signal.SIGKILL)


def test_bytes_are_the_callers_on_both_sides() -> None:
    work = attrs.evolve(WORK, block_bytes=1000)  # moved as 1024, or as 4096
    found = held_against(PeerFigures("fio", 500.0, {"p99": 7}, 0.5), work, {"throughput_bytes_per_s": 450_000.0})
    assert found["ceiling_bytes_per_s"] == 500_000.0 and found["ceiling_ratio"] == 0.9
    assert found["ceiling_latency_p99_ns"] == 7 and found["ceiling_tool"] == "fio"
    assert held_against("it is not here", work, {}) == {"ceiling_note": "it is not here"}


# ---- beside the trials of a run


class HeldStore(MemoryStore):
    """Memory that can be held against the stand-in."""

    refuse = False

    def ceiling(self, load: Load) -> Peer:
        if self.refuse:
            raise DriverError("no ceiling: it cannot be repeated")
        LOADS.append(load)
        return fio()


class HeldDriver(MemoryDriver):
    ceilings = frozenset({"fio"})

    def open(self, tier: Tier, work: Work, levels: Sequence[object]) -> MemoryStore:
        return HeldStore(tier)


LOADS: list[Load] = []


def conduct(folder: Path, *points: Point, script: Script | None = None) -> tuple[list[TrialRecord], list[str]]:
    """The records, and what was measured in which order. On the real clock, for real processes."""
    records: list[TrialRecord] = []
    watcher = Silent()

    async def start(log: Path) -> InProcessChannel:
        await trio.lowlevel.checkpoint()
        return InProcessChannel(script)

    plan = make_plan(*points)
    trio.run(Conductor(plan, registry_of(memory=HeldDriver), folder, 7, records.append, start, watcher).run)
    return records, [what for _, _, what in watcher.phases if what.startswith("measuring")]


def point(trials: int, **work: object) -> Point:
    return make_point("p", Tier("dram", "memory", MemoryDriver.settings()), attrs.evolve(WORK, **work), trials)


OURS, THEIRS = "measuring", "measuring fio"


def test_it_comes_after_odd_trials_and_before_even_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch)
    LOADS.clear()
    records, order = conduct(tmp_path, point(3, threads=2))
    assert order == [OURS, THEIRS, THEIRS, OURS, OURS, THEIRS]
    for record in records:
        assert record.status == "ok"
        assert record.measures["ceiling_operations_per_s"] == RATE
        ratio = record.measures["throughput_bytes_per_s"] / (RATE * 4096)  # type: ignore[operator]
        assert record.measures["ceiling_ratio"] == pytest.approx(ratio)
    assert [(load.lanes, load.depth, load.stride_bytes) for load in LOADS] == [(((0, 16), (16, 16)), 8, 4096)] * 3
    assert {load.window_ns for load in LOADS} == {200_000_000}


def test_counted_operations_lend_it_their_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch)
    LOADS.clear()
    records, order = conduct(tmp_path, point(2, time_ns=None, operations=100))
    assert order == [OURS, THEIRS, THEIRS, OURS]
    # The second one came before its trial: it has the window of the first.
    assert [load.window_ns for load in LOADS] == [records[0].measures["window_ns"]] * 2


@pytest.mark.parametrize("how", ["missing", "fail", "nonsense"])
def test_a_trial_is_ok_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "missing":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        stand_in(tmp_path / "bin", monkeypatch, how)
    records, _ = conduct(tmp_path, point(2))
    for record in records:
        assert record.status == "ok" and record.reason == ""
        assert record.measures["ceiling_note"] and record.measures.get("ceiling_ratio") is None


def test_a_worker_that_does_not_say_how_to_measure_it_is_said(tmp_path: Path) -> None:
    def script(request: messages.Request) -> str | None:
        return "hang" if isinstance(request, messages.AskPeer) else None

    (record,), _ = conduct(tmp_path, point(1, timeout_ns=200_000_000), script=script)
    assert (record.status, record.measures["ceiling_note"]) == ("ok", "no ceiling: the worker did not answer")


def test_what_cannot_be_repeated_is_said_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldStore, "refuse", True)
    (record,), _ = conduct(tmp_path, point(1))
    assert (record.status, record.measures["ceiling_note"]) == ("ok", "no ceiling: it cannot be repeated")
