"""Damage on a real disk is found every time: 1,000 tries each of a flipped bit, two swapped blocks and a lost write."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kvscen.execute import messages
from kvscen.execute.session import Session
from kvscen.plan.point import Tier, Work
from kvscen.plugin import WRITE, Lane, Rows
from kvscen_drivers.posix.driver import PosixSettings
from tests.e2e.support import kvscen, scenario, trials
from tests.faults.support import BLOCK, KEYS, faulty

TRIES = 1000
BLOCKS, SIZE = 4, 4096
TARGETS = {"posix": "kvscen_drivers.posix.driver:PosixDriver"}


class Bench:
    """A session with a posix tier on the disk, whose verification can be disturbed between its passes."""

    def __init__(self, folder: Path, work: Work) -> None:
        self._session, self._seed = Session(), 0
        # Direct I/O where the file system of the test's folder has it.
        tier = Tier("disk", "posix", PosixSettings(path=str(folder / "kv"), allow_buffered=True))
        self._ask(messages.Open("p", tier, work, 0, TARGETS, 0))
        self._ask(messages.Prepare("p"))
        self._point = self._session._points["p"]
        self._settle = self._point.store.settle
        self.file = os.open(folder / "kv" / "blocks.data", os.O_RDWR)

    def _ask(self, request: messages.Request) -> messages.Reply:
        reply = self._session.handle(request)
        assert not isinstance(reply, messages.Failed), reply
        return reply

    def verify(self, damage: Callable[[], None] | None = None) -> str:
        """The mismatch that one verification finds, with `damage` done after its writes and before its reads."""

        def settle() -> None:
            self._settle()
            if damage is not None:
                damage()

        self._point.store.settle = settle  # type: ignore[method-assign]
        self._seed += 1
        reply = self._ask(messages.Verify("p", self._seed))
        assert isinstance(reply, messages.Verified)
        assert reply.mismatch or reply.verified_bytes == BLOCKS * SIZE
        return reply.mismatch

    def lose(self, key: int) -> None:
        """From now on a write of this block is acknowledged and goes to a scratch area of the file instead."""
        lane = self._point.lanes[0]
        self._point.lanes[0] = Losing(lane.wrapped if isinstance(lane, Losing) else lane, key)

    def close(self) -> None:
        os.close(self.file)
        self._session.close()


class Losing(Lane):
    """A lane that turns the write of one block into a read into the same buffer: the disk keeps what it had."""

    def __init__(self, wrapped: Lane, key: int) -> None:
        self.wrapped, self._key = wrapped, key

    def submit(self, ops: Rows) -> int:
        sent = ops.copy()
        sent["kind"][(ops["kind"] == WRITE) & (ops["key"] == self._key)] = 0
        return self.wrapped.submit(sent)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        return self.wrapped.reap(out, at_least, timeout_ns)

    def close(self) -> None:
        self.wrapped.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, Work(op="read", block_bytes=SIZE, batch=BLOCKS, keys=BLOCKS, order="random"))
    assert made.verify() == ""
    yield made
    made.close()


def test_a_flipped_bit_is_found_in_every_one_of_1000_tries(bench: Bench) -> None:
    draw = random.Random(1)
    found = 0
    for _ in range(TRIES):
        bit = draw.randrange(BLOCKS * SIZE * 8)

        def flip(bit: int = bit) -> None:
            (byte,) = os.pread(bench.file, 1, bit // 8)
            os.pwrite(bench.file, bytes([byte ^ 1 << bit % 8]), bit // 8)

        mismatch = bench.verify(flip)
        block, byte = divmod(bit // 8, SIZE)
        found += mismatch == f"block {block}, byte {byte}: 1 flipped bit"
    assert found == TRIES
    assert bench.verify() == ""


def test_swapped_blocks_are_found_in_every_one_of_1000_tries(bench: Bench) -> None:
    draw = random.Random(2)
    found = 0
    for _ in range(TRIES):
        one, other = draw.sample(range(BLOCKS), 2)

        def swap(one: int = one, other: int = other) -> None:
            first, second = (os.pread(bench.file, SIZE, key * SIZE) for key in (one, other))
            os.pwrite(bench.file, second, one * SIZE)
            os.pwrite(bench.file, first, other * SIZE)

        # The first byte that differs: two stamps may share some.
        told = re.fullmatch(r"block (\d), byte \d+: holds the content of block (\d)", bench.verify(swap))
        found += told is not None and {int(told[1]), int(told[2])} == {one, other}
    assert found == TRIES
    assert bench.verify() == ""


def test_a_lost_write_is_found_in_every_one_of_1000_tries(bench: Bench) -> None:
    draw = np.random.default_rng(3)
    found = 0
    for key in draw.integers(0, BLOCKS, TRIES):
        bench.lose(int(key))
        told = re.match(r"block (\d), byte \d+: holds a sector that was not written in this pass", bench.verify())
        found += told is not None and int(told[1]) == key
    assert found == TRIES
    bench.lose(-1)
    assert bench.verify() == ""


TWO_POINTS = """kvs 1
tier disk : posix {{ path = "{path}/kv"; direct = false }}
pattern pages : transfer {{ op = read; block = 16 KiB; batch = 4; working_set = 256 KiB }}
sweep blocks {{
  pattern = pages
  tier = disk
  pages.batch in [4, 8]
  trials = 1; warmup = 10 ms; operations = 100; seed = 1
}}
"""


def test_a_lost_write_of_a_later_point_or_of_a_resumed_run_is_found(tmp_path: Path) -> None:
    """The data of an earlier verification lies in the same place: it must not pass for this one's."""
    lost = {"first": 9 * BLOCK, "end": 9 * BLOCK + 1, "count": 1, "lose": True}
    with faulty(tmp_path) as disk:
        path = scenario(tmp_path, TWO_POINTS.format(path=disk.path))
        disk.set({"op": "write", "after": 2, **lost})  # written by the layout, the first point, the second point
        done = kvscen(tmp_path, "run", path, "--out", "out")
        assert done.returncode == 3, done.stdout + done.stderr
        statuses = [row["status"] for row in sorted(trials(tmp_path / "out"), key=lambda row: str(row["trial_order"]))]
        assert statuses == ["ok", "corrupt"]
        assert disk.struck == [f"write {9 * BLOCK} {BLOCK}"] and KEYS > 9
        disk.set({"op": "write", **lost})
        assert kvscen(tmp_path, "run", path, "--resume", "out").returncode == 3
        assert sorted(str(row["status"]) for row in trials(tmp_path / "out")) == ["corrupt", "ok"]
        disk.set()
        assert kvscen(tmp_path, "run", path, "--resume", "out").returncode == 0
