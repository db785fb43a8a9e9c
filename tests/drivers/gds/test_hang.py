"""A submission that never returns, in a real worker process: one point ends as `hang`, with what cuFile said last."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest
import trio

from kvscen.execute.channel import Channel, ProcessChannel
from kvscen.execute.conductor import Conductor
from kvscen.plan.point import Tier, Work
from kvscen.results.record import TrialRecord
from kvscen_drivers.gds.settings import GdsSettings
from tests.drivers.gds.in_worker import ROOMS, StandInGds
from tests.e2e.support import ROOT
from tests.execute.support import Silent, make_plan, make_point, registry_of

#: It waits for a short `timeout` to pass, and for nothing to pass it.
pytestmark = pytest.mark.alone

WORK = Work("read", 4096, 4, 32, wait="batch", memory="vram", operations=64, timeout_ns=20 * 10**9)


def test_a_batch_beyond_the_bounce_buffers_costs_its_point_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    settings = GdsSettings(path=str(tmp_path / "blocks"), allow_buffered=True, unclamped=True)
    tier = Tier("asked", "gds_stand_in", settings)
    far = attrs.evolve(WORK, batch=ROOMS + 4, timeout_ns=3 * 10**9)
    points = [
        make_point("few", tier, WORK, 1, "sequential"),
        make_point("far", tier, far, 2, "sequential"),
        make_point("few_again", tier, attrs.evolve(WORK, batch=8), 1, "sequential"),
    ]
    records: list[TrialRecord] = []

    async def start(log: Path) -> Channel:
        return ProcessChannel(log)

    async def main() -> None:
        registry = registry_of(gds_stand_in=StandInGds)
        await Conductor(make_plan(*points), registry, tmp_path, 7, records.append, start, Silent()).run()

    trio.run(main)
    found = {(record.point_id, record.trial): record for record in records}
    assert {key: record.status for key, record in found.items()} == {
        ("few", 1): "ok",
        ("far", 1): "hang",
        ("far", 2): "hang",
        ("few_again", 1): "ok",
    }, [record.reason for record in records]
    assert found["far", 1].reason.startswith("no operation finished for 3 s (timeout); the worker was killed; its last")
    assert found["far", 1].reason.endswith("DEBUG 0:1 waiting for a bounce buffer")
    assert found["far", 2].reason.startswith("not run after trial 1: ")
    (before,), (after,) = found["few", 1].workers, found["few_again", 1].workers
    assert before["pid"] != after["pid"], "the next point gets a fresh process"
    assert found["few_again", 1].measures["in_flight_limit"] == 8
