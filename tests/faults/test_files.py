"""The data file changes under a run: truncated, replaced, deleted. The trial says so, the other tier is measured."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Point, Tier, Work
from kvscen.results.record import TrialRecord
from kvscen_drivers.posix.driver import PosixDriver, PosixSettings
from tests.execute.support import Silent, make_plan, make_point, registry_of

WORK = Work(op="read", block_bytes=16384, batch=4, keys=64, time_ns=500_000_000, timeout_ns=2_000_000_000)
REGISTRY = registry_of(posix=PosixDriver)


class At(Silent):
    """Does something 200 ms after the load of a point's first trial begins: in the middle of its window."""

    def __init__(self, point_id: str, act: Callable[[], None]) -> None:
        super().__init__()
        self._point_id, self._act = point_id, act

    def phase(self, point: Point, trial: int, what: str) -> None:
        super().phase(point, trial, what)
        if (point.id, trial, what) == (self._point_id, 1, "measuring"):
            threading.Timer(0.2, self._act).start()


def tier(name: str, folder: Path, engine: str = "auto") -> Tier:
    return Tier(name, "posix", PosixSettings(path=str(folder / name), allow_buffered=True, engine=engine))


def run(folder: Path, watcher: Silent, *tiers: Tier, work: Work = WORK) -> dict[str, list[TrialRecord]]:
    """Two trials on each tier, one tier after the other, with real workers."""
    records: list[TrialRecord] = []
    points = [make_point(one.name, one, work, 2, "sequential") for one in tiers]

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> None:
        await Conductor(make_plan(*points), REGISTRY, folder, 7, records.append, start, watcher).run()

    trio.run(main)
    return {one.name: [record for record in records if record.point_id == one.name] for one in tiers}


def truncate(path: Path) -> None:
    os.truncate(path, 5 * 16384)


def replace(path: Path) -> None:
    shutil.copyfile(path, path.with_name(".kvscen-other"))
    path.with_name(".kvscen-other").replace(path)


@pytest.mark.parametrize("engine", ["io_uring", pytest.param("threads", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("what", "word"),
    [
        pytest.param(truncate, "was truncated", id="truncated"),
        pytest.param(replace, "was replaced by another file", id="replaced", marks=pytest.mark.slow),
        pytest.param(Path.unlink, "is gone while the run goes on", id="deleted", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_changes_under_a_run(tmp_path: Path, what: Callable[[Path], None], word: str, engine: str) -> None:
    bad, good = tier("bad", tmp_path, engine), tier("good", tmp_path)
    path = tmp_path / "bad" / "blocks.data"
    found = run(tmp_path, At("bad", lambda: what(path)), bad, good)
    first = found["bad"][0]
    assert first.status == "error", first
    assert word in first.reason and str(path) in first.reason, first.reason
    assert [record.status for record in found["good"]] == ["ok", "ok"]
    # A run after it lays out what is missing, and is right.
    assert [record.status for record in run(tmp_path, Silent(), bad)["bad"]] == ["ok", "ok"]


def test_reads_behind_the_end_of_a_truncated_file_name_the_place(tmp_path: Path) -> None:
    bad = tier("bad", tmp_path)
    found = run(tmp_path, At("bad", lambda: truncate(tmp_path / "bad" / "blocks.data")), bad)
    reason = found["bad"][0].reason
    assert f"read of {tmp_path}/bad/blocks.data at " in reason and errno.errorcode[errno.EIO] in reason, reason
