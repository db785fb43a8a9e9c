"""A level of a tiered tier goes wrong under a run: the reason names the levels, and the tables count what was lost."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import trio

from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Point, Tier, Work
from kvscen.results.record import TrialRecord
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from kvscen_drivers.tiered import TieredDriver, TieredSettings
from tests.e2e.support import kvscen, scenario, trials
from tests.execute.support import Silent, make_plan, make_point, registry_of
from tests.faults.support import Faulty, faulty, small_disk

BLOCK, KEYS = 16 << 10, 64
#: 4 blocks above, 40 below.
SCENARIO = """kvs 1
tier dram  : memory {{ }}
tier disk  : posix {{ path = "{path}/kv"; direct = false; engine = {engine} }}
tier cache : tiered {{ levels = [dram, disk]; capacities = [64 KiB, 640 KiB] }}
pattern day : conversations {{
  block = 16 KiB; users = 4; requests = 40; mix = [quick]
}}
users quick : custom {{ context = 64 tokens; prompt = 32 tokens; output = 16 tokens; turns = 4; think = 0 s }}
sweep s {{
  pattern = day
  tier in [cache, dram]
  trials = 2; timeout = 5 s; seed = 1; verify = off
}}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Faulty]:
    with faulty(tmp_path) as mounted:
        yield mounted


def run(folder: Path, disk: Faulty, rule: dict[str, object], engine: str = "auto") -> list[dict[str, object]]:
    """The trials on the cache; those on memory alone must not have noticed anything. The rule's `after` counts from the
    first trial on: before it all blocks are laid out, and all but the 4 that stay above are moved down."""
    path = scenario(folder, SCENARIO.format(path=disk.path, engine=engine))
    planned = json.loads(kvscen(folder, "plan", path, "--format", "json").stdout)
    before = planned["points"][0]["keys"] - 4 if rule["op"] == "write" else 0
    disk.set({**rule, "after": before + int(str(rule["after"]))})
    done = kvscen(folder, "run", path, "--out", "out")
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stdout + done.stderr
    rows = sorted(trials(folder / "out"), key=lambda row: int(str(row["trial_order"])))
    alone = [row for row in rows if row["tier"] == "dram"]
    assert [row["status"] for row in alone] == ["ok", "ok"], alone[0]["reason"]
    return [row for row in rows if row["tier"] == "cache"]


def edge_of(folder: Path, trial: object) -> dict[str, object]:
    table = pq.read_table(folder / "out" / "tiers.parquet").to_pylist()
    [edge] = [row for row in table if row["trial"] == trial and row["to_tier"] == "disk"]
    return edge


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_block_that_cannot_be_moved_down_is_lost_in_the_tables(tmp_path: Path, disk: Faulty, engine: str) -> None:
    rule = {"op": "write", "after": 10, "count": 1, "error": errno.ENOSPC}
    first, second = run(tmp_path, disk, rule, engine)
    assert (first["status"], second["status"]) == ("error", "ok")
    edge = edge_of(tmp_path, first["trial"])
    assert (edge["lost"], edge["tier"]) == (1, "dram")
    at = disk.struck[0].split()[1]
    assert (
        edge["first_error"]
        == f"write of {disk.path}/kv/blocks.data at {at} ({BLOCK} bytes): ENOSPC (No space left on device)"
    )
    reason = str(first["reason"])
    # Either nobody asked for it again, or its read failed.
    assert "from `dram` to `disk`" in reason or "lost between `dram` and `disk`" in reason, reason
    assert f"{disk.path}/kv/blocks.data at {at}" in reason and "ENOSPC" in reason
    assert edge_of(tmp_path, second["trial"])["lost"] == 0


@pytest.mark.slow
def test_a_block_that_cannot_be_read_where_it_is(tmp_path: Path, disk: Faulty) -> None:
    first, second = run(tmp_path, disk, {"op": "read", "after": 3, "count": 1, "error": errno.EIO})
    assert (first["status"], second["status"]) == ("error", "ok")
    at = disk.struck[0].split()[1]
    assert f"in `disk`, {disk.path}/kv/blocks.data at {at}" in str(first["reason"]) and "EIO" in str(first["reason"])


@pytest.mark.slow
def test_a_level_that_stalls_is_a_hang(tmp_path: Path, disk: Faulty) -> None:
    rows = run(tmp_path, disk, {"op": "write", "after": 10, "stall": "killable"})
    assert [row["status"] for row in rows] == ["hang", "hang"]


class Act(Silent):
    """Does something as the load of the first trial begins."""

    def __init__(self, act: Callable[[], None], when: str = "measuring") -> None:
        super().__init__()
        self._act, self._when = act, when

    def phase(self, point: Point, trial: int, what: str) -> None:
        super().phase(point, trial, what)
        if (point.id, trial, what) == ("cache", 1, self._when):
            self._act()


def conduct(folder: Path, data: Path, watcher: Silent) -> tuple[TrialRecord, TrialRecord, TrialRecord]:
    """Two trials of writing on memory over a disk, and one on memory alone."""
    work = Work(
        "write", BLOCK, 4, KEYS, depth=4, order="random", time_ns=300_000_000, timeout_ns=10_000_000_000, verify="off"
    )
    dram, disk = (
        Tier("dram", "memory", MemorySettings()),
        Tier("disk", "posix", PosixSettings(path=str(data / "kv"), direct=False)),
    )
    levels = TieredSettings(levels=("dram", "disk"), capacities=(4 * BLOCK, 40 * BLOCK))
    cache = Tier("cache", "tiered", levels, (dram, disk))
    points = [make_point("cache", cache, work, 2, "sequential"), make_point("dram", dram, work, 1, "sequential")]
    registry = registry_of(posix=PosixDriver, memory=MemoryDriver, tiered=TieredDriver)
    records: list[TrialRecord] = []

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> None:
        await Conductor(make_plan(*points), registry, folder, 7, records.append, start, watcher).run()

    trio.run(main)
    first, second, alone = records
    return first, second, alone


@pytest.mark.slow
def test_a_level_that_is_cut_off(tmp_path: Path, disk: Faulty) -> None:
    """As a file system whose server is gone: each operation fails at once, and so does every look at the folder."""
    first, second, alone = conduct(tmp_path, disk.path, Act(disk.cut_off))
    assert (first.status, second.status, alone.status) == ("error", "error", "ok")
    assert "blocks.data is gone while the run goes on: Transport endpoint is not connected" in first.reason
    assert "(in the level `disk`)" in first.reason


@pytest.mark.slow
def test_a_disk_that_fills_up_under_demotions(tmp_path: Path) -> None:
    """Really: a small file system that cannot reserve room, and somebody else takes what is left of it while blocks
    move down for the first time."""
    with small_disk(tmp_path / "small", 2 << 20) as small, faulty(small) as disk:
        data = disk.backing / "kv" / "blocks.data"

        def fill() -> None:
            while not (data.exists() and data.stat().st_size):
                time.sleep(0.001)
            with pytest.raises(OSError), (disk.backing / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))

        filling = threading.Thread(target=fill)
        disk.set({"op": "write", "count": 1, "delay_s": 0.5})
        first, second, alone = conduct(tmp_path, disk.path, Act(filling.start, "laying out data"))
        filling.join()
        assert data.stat().st_size == 40 * BLOCK
    assert (first.status, second.status, alone.status) == ("error", "error", "ok")
    assert first.reason.startswith("outside the measured window: lost between levels of the tier: ")
    assert "from `dram` to `disk`; the first: write of " in first.reason
    assert f"{disk.path}/kv/blocks.data at " in first.reason and "ENOSPC" in first.reason


def test_a_disk_too_small_for_its_level_is_known_before(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 512 << 10) as small:
        first, second, alone = conduct(tmp_path, small, Silent())
    assert (first.status, second.status, alone.status) == ("error", "error", "ok")
    assert first.reason.startswith(f"tier `disk` needs 640 KiB in {small}/kv, where ")
