"""The fake driver does what it is told, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kvscen.plugin import COMPLETION, ERROR, OK, OPERATION, READ, WRITE, DriverError, Layout, Tier, Unavailable, Work
from kvscen.testing.clock import FakeClock
from kvscen.testing.fake import FakeDriver, FakeSettings, FakeStore, register

BLOCK = 64
KEYS = 4


class Bench:
    def __init__(self, fault: str = "none", after: int = 0, latency_ns: int = 0) -> None:
        tier = Tier("t", "fake", FakeSettings(fault=fault, after=after, latency_ns=latency_ns))
        self.store: FakeStore = FakeDriver().open(tier, Work("read", BLOCK, 1, KEYS), [])
        self.arena = self.store.allocate(BLOCK * 2 * KEYS, "dram")
        self.lane = self.store.lane(0, self.arena)
        self.missing = self.store.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))

    def content(self, key: int) -> np.ndarray:
        return np.arange(BLOCK, dtype=np.uint8) + np.uint8(key)

    def ops(self, kind: int) -> np.ndarray:
        rows = np.zeros(KEYS, OPERATION)
        rows["id"] = rows["key"] = np.arange(KEYS)
        rows["bytes"], rows["kind"] = BLOCK, kind
        rows["buffer"] = np.arange(KEYS) * BLOCK + (0 if kind == WRITE else KEYS * BLOCK)
        return rows

    def reap(self, at_least: int = KEYS, timeout_ns: int = 0) -> np.ndarray:
        out = np.zeros(16, COMPLETION)
        return out[: self.lane.reap(out, at_least, timeout_ns)]

    def write(self) -> np.ndarray:
        for key in range(KEYS):
            self.arena.view[key * BLOCK : (key + 1) * BLOCK] = self.content(key)
        assert self.lane.submit(self.ops(WRITE)) == KEYS
        return self.reap()

    def read(self) -> np.ndarray:
        self.arena.view[KEYS * BLOCK :] = 0xAA
        assert self.lane.submit(self.ops(READ)) == KEYS
        return self.reap()

    def wrong_blocks(self) -> list[int]:
        views = self.arena.view[KEYS * BLOCK :].reshape(KEYS, BLOCK)
        return [key for key in range(KEYS) if (views[key] != self.content(key)).any()]


def test_without_a_fault_every_byte_is_kept() -> None:
    bench = Bench()
    assert list(bench.missing) == [0, 1, 2, 3]
    for done in (bench.write(), bench.read()):
        assert done["id"].tolist() == [0, 1, 2, 3]
        assert (done["outcome"] == OK).all() and (done["bytes"] == BLOCK).all()
    assert bench.wrong_blocks() == []
    assert len(bench.store.prepare(Layout(KEYS, BLOCK, BLOCK, 0, KEYS))) == 0


@pytest.mark.parametrize(
    ("fault", "after", "wrong"),
    [("corrupt", 0, [0]), ("corrupt", 6, [2]), ("lost_write", 1, [1]), ("swapped", 1, [0, 2]), ("lie", 5, [1])],
)
def test_wrong_content_behind_a_good_outcome(fault: str, after: int, wrong: list[int]) -> None:
    bench = Bench(fault, after)
    for done in (bench.write(), bench.read()):
        assert (done["outcome"] == OK).all() and (done["bytes"] == BLOCK).all()
    assert bench.wrong_blocks() == wrong


def test_wrong_completions() -> None:
    assert Bench("unknown_id", 1).write()["id"].tolist() == [0, 1 | 1 << 62, 2, 3]
    assert sorted(Bench("twice", 1).write()["id"].tolist()) == [0, 1, 1, 2, 3]
    assert Bench("lost", 1).write()["id"].tolist() == [0, 2, 3]
    assert Bench("short", 1).write()["bytes"].tolist() == [64, 32, 64, 64]
    assert Bench("too_many", 1).write()["bytes"].tolist() == [64, 128, 64, 64]


def test_every_nth_fails() -> None:
    done = Bench("error", 2).write()
    assert done["outcome"].tolist() == [OK, ERROR, OK, ERROR]
    assert done["errno"].tolist() == [0, errno.EIO, 0, errno.EIO] and done["bytes"].tolist() == [64, 0, 64, 0]
    assert (Bench("error").write()["outcome"] == ERROR).all()


def test_latency_and_stall() -> None:
    bench = Bench(latency_ns=2_000_000)
    done = bench.write()
    assert len(done) == 0
    done = bench.reap(KEYS, 10**10)
    assert (done["end"] - done["submit"] >= 2_000_000).all()
    assert len(Bench("stall", 2).write()) == 2


def test_refusals(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable):
        Bench("unavailable")
    with pytest.raises(DriverError, match="refuses"):
        Bench("refuse")
    with pytest.raises(ZeroDivisionError):
        Bench("raise_open")
    with pytest.raises(ZeroDivisionError):
        Bench("raise", 2).write()
    Bench("print", 3).write()
    assert capfd.readouterr().out == "the fake driver talks\n"
    tier = Tier("t", "fake", FakeSettings(fault="unavailable"))
    assert not FakeDriver().probe(tier).ok and FakeDriver().probe(None).ok


_CHILD = """
import sys
sys.path.insert(0, {tests!r})
from test_fake import Bench
bench = Bench({fault!r}, {after})
print("open", flush=True)
bench.write()
bench.store.close()
print("closed")
"""


@pytest.mark.parametrize(("fault", "status"), [("exit", 3), ("kill", -9), ("none", 0)])
def test_the_process_dies(fault: str, status: int) -> None:
    script = _CHILD.format(tests=str(Path(__file__).parent), fault=fault, after=2)
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert child.returncode == status, child.stderr
    assert child.stdout.split() == (["open", "closed"] if fault == "none" else ["open"])


@pytest.mark.parametrize("fault", ["hang_prepare", "hang_submit", "hang_reap", "hang_settle", "hang_close"])
def test_it_hangs_where_it_is_told_to(fault: str) -> None:
    """Whoever sleeps here is caught by replacing sleep: hanging is one function."""
    import kvscen.testing.fake as fake

    class Hung(Exception):
        pass

    def hang() -> None:
        raise Hung

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Hung):
        patch.setattr(fake, "_hang", hang)
        bench = Bench(fault)
        assert fault != "hang_prepare"
        if fault == "hang_close":
            bench.write()
        else:
            bench.lane.submit(bench.ops(WRITE))
            assert fault != "hang_submit"
            bench.reap()
            bench.store.settle()
        bench.store.close()


def test_settling_is_slow_from_an_operation_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import kvscen.testing.fake as fake

    slept: list[float] = []
    monkeypatch.setattr(fake.time, "sleep", slept.append)
    bench = Bench("slow_settle", after=1, latency_ns=10_000_000)
    bench.store.settle()
    assert not slept
    bench.store.next_operation(WRITE)
    bench.store.settle()
    assert slept == [1.0]


def test_registered_for_a_child(tmp_path: Path) -> None:
    folder = register(tmp_path)
    script = "from kvscen.plugin.registry import registry; print(registry().driver('fake').summary)"
    env = {**os.environ, "PYTHONPATH": str(folder)}
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == FakeDriver.summary


def test_the_fake_clock() -> None:
    clock = FakeClock(5, tick_ns=2)
    assert [clock(), clock()] == [5, 7]
    clock.sleep(1e-6)
    clock.advance(1)
    assert clock.now_ns == 1010
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
