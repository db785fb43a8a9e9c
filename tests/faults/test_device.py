"""A device that goes wrong under a run: the right status, a reason that names what and where, and the rest goes on."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from kvscen.execute import channel
from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Tier, Work
from kvscen.results.record import TrialRecord
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from tests.e2e.support import kvscen, scenario, trials
from tests.execute.support import Silent, make_plan, make_point, registry_of
from tests.faults.support import BEFORE, BLOCK, Faulty, by_tier, faulty, text


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Faulty]:
    with faulty(tmp_path) as mounted:
        yield mounted


def run(folder: Path, disk: Faulty, op: str = "read", engine: str = "auto") -> dict[str, list[dict[str, object]]]:
    """Run the scenario; the good tier must not have noticed anything."""
    done = kvscen(folder, "run", scenario(folder, text(disk.path, folder, op, engine)), "--out", "out")
    assert done.returncode == 3, done.stdout + done.stderr
    rows = by_tier(trials(folder / "out"))
    assert [row["status"] for row in rows["good"]] == ["ok", "ok"]
    assert disk.struck, "the fault never struck"
    return rows


def resumed(folder: Path) -> None:
    """The device is well again: what was not ok is run, what was ok is kept."""
    before = {row["started_unix_ns"] for row in trials(folder / "out") if row["status"] == "ok"}
    done = kvscen(folder, "run", folder / "test.kvs", "--resume", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    after = trials(folder / "out")
    assert Counter(row["status"] for row in after) == {"ok": 4}
    assert before <= {row["started_unix_ns"] for row in after}


@pytest.mark.parametrize(
    ("op", "code", "engine"),
    [
        ("read", errno.EIO, "io_uring"),
        pytest.param("write", errno.ENOSPC, "io_uring", marks=pytest.mark.slow),
        pytest.param("read", errno.EIO, "threads", marks=pytest.mark.slow),
        pytest.param("write", errno.ENOSPC, "threads", marks=pytest.mark.slow),
    ],
)
def test_an_error_in_the_middle_of_a_window(tmp_path: Path, disk: Faulty, op: str, code: int, engine: str) -> None:
    disk.set({"op": op, "after": BEFORE[op] + 40, "count": 1, "error": code})
    bad = run(tmp_path, disk, op, engine)["bad"]
    assert [row["status"] for row in bad] == ["error", "ok"]
    reason = str(bad[0]["reason"])
    offset = disk.struck[0].split()[1]
    assert f"{op} of {disk.path}/kv/blocks.data at {offset} " in reason, reason
    assert errno.errorcode[code] in reason
    assert bad[0]["errors"] == 1
    disk.set()
    resumed(tmp_path)


@pytest.mark.slow
def test_an_error_at_one_place_of_the_device_is_an_error_each_time(tmp_path: Path, disk: Faulty) -> None:
    disk.set({"op": "read", "first": 5 * BLOCK, "end": 5 * BLOCK + 1, "after": 1, "error": errno.EIO})
    bad = run(tmp_path, disk)["bad"]
    assert [row["status"] for row in bad] == ["error", "error"]
    assert all(f"blocks.data at {5 * BLOCK} " in str(row["reason"]) and int(str(row["errors"])) > 1 for row in bad)


@pytest.mark.slow
@pytest.mark.parametrize(("op", "engine"), [("read", "threads"), ("write", "threads"), ("write", "io_uring")])
def test_a_short_transfer_is_an_error_and_no_byte(tmp_path: Path, disk: Faulty, op: str, engine: str) -> None:
    place = 5 * BLOCK
    # Who tries again for the rest gets nothing.
    disk.set(
        {"op": op, "first": place, "end": place + 1, "after": 4, "short": 4096},
        {"op": op, "first": place + 4096, "end": place + BLOCK, "after": 4, "short": 0},
    )
    bad = run(tmp_path, disk, op, engine)["bad"]
    assert [row["status"] for row in bad] == ["error", "error"]
    reason = str(bad[0]["reason"])
    assert f"{op} of {disk.path}/kv/blocks.data at {place} " in reason and "short: 4096 bytes moved" in reason, reason
    disk.set()
    resumed(tmp_path)


@pytest.mark.slow
def test_a_short_read_that_io_uring_repeats_is_found_by_the_content(tmp_path: Path, disk: Faulty) -> None:
    """The kernel reads on by itself after a short read, on FUSE (Linux 6.18) from the same offset: it reports success
    with wrong bytes. Nothing but the content tells.
    """
    disk.set({"op": "read", "first": 5 * BLOCK, "end": 5 * BLOCK + 1, "short": 4096})
    bad = run(tmp_path, disk, engine="io_uring")["bad"]
    assert {row["status"] for row in bad} <= {"corrupt", "error"}
    assert all(row["throughput_bytes_per_s"] is None for row in bad)
    disk.set()
    resumed(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("op", ["read", "write"])
def test_a_disk_that_is_full_before_the_first_trial(tmp_path: Path, disk: Faulty, op: str) -> None:
    disk.set({"op": "write", "after": 5, "error": errno.ENOSPC})
    bad = run(tmp_path, disk, op)["bad"]
    assert [row["status"] for row in bad] == ["error", "error"]
    reason = str(bad[0]["reason"])
    assert "ENOSPC" in reason and f"write of {disk.path}/kv/blocks.data at 81920 " in reason, reason
    disk.set()
    resumed(tmp_path)


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_device_that_stalls_is_a_hang_and_the_other_tier_is_measured(
    tmp_path: Path, disk: Faulty, engine: str
) -> None:
    disk.set({"op": "read", "after": BEFORE["read"] + 40, "stall": "killable"})
    bad = run(tmp_path, disk, engine=engine)["bad"]
    assert [row["status"] for row in bad] == ["hang", "hang"]
    assert "no operation finished for 3 s" in str(bad[0]["reason"])
    assert "does not end" not in str(bad[0]["reason"])
    disk.set()
    resumed(tmp_path)


#: One fsync makes the layout durable and one the verification's writes; what comes after is the end of a trial.
SYNCS_BEFORE = 2


@pytest.mark.slow
def test_an_fsync_that_is_slower_than_operations_may_be_counts_and_is_no_hang(tmp_path: Path, disk: Faulty) -> None:
    disk.set({"op": "fsync", "after": SYNCS_BEFORE, "delay_s": 1.4})
    path = scenario(tmp_path, text(disk.path, tmp_path, "write"))
    done = kvscen(
        tmp_path, "run", path, "--out", "out", "--set", "blocks.durability=end", "--set", "blocks.timeout=1 s"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = by_tier(trials(tmp_path / "out"))["bad"]
    assert disk.struck == ["fsync 0 1"] * 2
    for row in rows:
        assert (row["status"], row["timeout_ns"]) == ("ok", 10**9)
        assert int(str(row["sync_ns"])) >= 1_400_000_000
        assert float(str(row["operations_per_s"])) < int(str(row["operations"])) / 1.4


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, SYNCS_BEFORE])
def test_an_fsync_that_never_ends_is_a_hang(tmp_path: Path, disk: Faulty, after: int) -> None:
    disk.set({"op": "fsync", "after": after, "stall": "killable"})
    path = scenario(tmp_path, text(disk.path, tmp_path, "write"))
    pins = ["--set", "blocks.durability=end", "--set", "blocks.sync_timeout=1.5 s"]
    done = kvscen(tmp_path, "run", path, "--out", "out", *pins)
    assert done.returncode == 3, done.stdout + done.stderr
    rows = by_tier(trials(tmp_path / "out"))
    assert [row["status"] for row in rows["bad"]] == ["hang", "hang"]
    assert [row["status"] for row in rows["good"]] == ["ok", "ok"]
    assert str(rows["bad"][0]["reason"]).startswith("what was written was not durable after 1.5 s (sync_timeout)")


@pytest.mark.slow
def test_a_file_system_that_answers_nothing_costs_its_tier_alone(tmp_path: Path, disk: Faulty) -> None:
    """Nothing of the run but the tier's worker may wait for it: not the look at the machine, not the tables."""
    path = scenario(tmp_path, text(disk.path, tmp_path))
    with disk.frozen():
        done = kvscen(tmp_path, "run", path, "--out", "out", fresh=True)
    assert done.returncode == 3, done.stdout + done.stderr
    rows = by_tier(trials(tmp_path / "out"))
    assert [row["status"] for row in rows["bad"]] == ["hang", "hang"]
    assert [row["status"] for row in rows["good"]] == ["ok", "ok"]
    resumed(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("op", ["write", "read"])
def test_a_device_that_stalls_while_data_is_laid_out_or_verified(tmp_path: Path, disk: Faulty, op: str) -> None:
    disk.set({"op": op, "after": 5, "stall": "killable"})
    bad = run(tmp_path, disk)["bad"]
    assert [row["status"] for row in bad] == ["hang", "hang"]
    disk.set()
    resumed(tmp_path)


@pytest.mark.slow
def test_a_worker_that_cannot_be_killed_costs_its_tier(
    tmp_path: Path, disk: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that the file system has taken and never answers, signals or not, keeps a process in the kernel."""
    monkeypatch.setattr(channel, "_KILL_GRACE_S", 1.0)
    disk.set({"op": "read", "after": 2 * BEFORE["read"] + 40, "stall": "deaf"})
    work = Work(op="read", block_bytes=BLOCK, batch=4, keys=16, time_ns=100_000_000, timeout_ns=600_000_000)
    stuck = Tier("stuck", "posix", PosixSettings(path=str(disk.path / "kv"), direct=False))
    good = Tier("good", "posix", PosixSettings(path=str(tmp_path / "kv"), allow_buffered=True))
    records: list[TrialRecord] = []
    points = [
        make_point("first", stuck, work, 1, "sequential"),
        make_point("second", stuck, attrs.evolve(work, batch=8), 1, "sequential"),
        make_point("third", good, work, 1, "sequential"),
    ]

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> None:
        registry = registry_of(posix=PosixDriver)
        await Conductor(make_plan(*points), registry, tmp_path, 7, records.append, start, Silent()).run()

    trio.run(main)
    first, second, third = records
    assert (first.status, second.status, third.status) == ("hang", "hang", "ok"), records
    assert "does not end after SIGKILL" in first.reason and "process " in first.reason
    assert second.reason.startswith("not run: ")


@pytest.mark.slow
def test_a_device_that_stalls_for_a_while_is_slow_and_ok(tmp_path: Path, disk: Faulty) -> None:
    disk.set({"op": "read", "first": 5 * BLOCK, "end": 5 * BLOCK + 1, "after": 20, "count": 1, "delay_s": 0.4})
    path = scenario(tmp_path, text(disk.path, tmp_path).replace("operations = 400", "time = 1 s"))
    done = kvscen(tmp_path, "run", path, "--out", "out", "--set", "blocks.warmup=0 s")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = by_tier(trials(tmp_path / "out"))
    assert disk.struck and [row["status"] for row in rows["bad"]] == ["ok", "ok"]
    # The latency of an operation that was asked for inside the window is counted, however late it ends.
    assert int(str(rows["bad"][0]["latency_max_ns"])) >= 400_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"op": "read", "flip": 12345}, "1 flipped bit"),
        ({"op": "write", "after": 20, "flip": 12345}, "1 flipped bit"),
        ({"op": "write", "after": 20, "lose": True}, "the write was lost"),
        ({"op": "write", "after": 20, "elsewhere": 3 * BLOCK}, "block"),
        ({"op": "read", "after": 4, "elsewhere": 3 * BLOCK}, "holds the content of block 3"),
    ],
)
def test_wrong_content_is_found_before_anything_is_measured(
    tmp_path: Path, disk: Faulty, rule: dict[str, object], words: str
) -> None:
    disk.set({"count": 1, **rule})
    bad = run(tmp_path, disk)["bad"]
    assert [row["status"] for row in bad] == ["corrupt", "corrupt"]
    assert words in str(bad[0]["reason"])
    assert all(row["throughput_bytes_per_s"] is None for row in bad)
    disk.set()
    resumed(tmp_path)
