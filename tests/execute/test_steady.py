"""Trials that wait for a steady load: on a virtual clock, where every round is known, and on the real one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from kvscen.execute.window import Rounds
from kvscen.plan.point import Tier, Work
from kvscen.plugin import Store
from kvscen.results.record import TrialRecord
from kvscen.testing.fake import FakeDriver
from kvscen_drivers.memory import MemoryDriver
from kvscen_drivers.sim import SimDriver, SimStore
from tests.execute.support import conduct, make_plan, make_point, registry_of

MS = 10**6
S = 10**9
WORK = Work(
    op="read", block_bytes=1, batch=1, keys=8, warmup_ns=50 * MS, time_ns=100 * MS, until="steady", cap_ns=3 * S
)


class TiringStore(SimStore):
    """Operations, one at a time, take 1 ms at first, longer and longer, and 2 ms from one second on. Where `restless`,
    they become slower for ever."""

    def __init__(self, tier: Tier, restless: bool) -> None:
        super().__init__(tier)
        model, plain = self.model, self.model.serve
        begun: list[int] = []

        def serve(nbytes: int) -> int:
            begun.append(model.now_ns)
            age_ns = model.now_ns - begun[0]
            model._latency = (MS + (age_ns if restless else min(age_ns, S)) // 1000) * model.ticks_per_ns
            return plain(nbytes)

        model.serve = serve  # type: ignore[method-assign]


class TiringDriver(SimDriver):
    name = "tiring"
    restless = False

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> SimStore:
        return TiringStore(tier, self.restless)


class RestlessDriver(TiringDriver):
    name = "restless"
    restless = True


REGISTRY = registry_of(sim=SimDriver, tiring=TiringDriver, restless=RestlessDriver, memory=MemoryDriver)


def simulated(driver: str, folder: Path, work: Work = WORK, parallelism: int = 1) -> TrialRecord:
    settings = SimDriver.settings(bandwidth_bytes_per_s=10**12, latency_ns=MS, parallelism=parallelism)
    (record,) = conduct(make_plan(make_point("p", Tier("t", driver, settings), work, 1)), REGISTRY, folder)
    assert record.status == "ok", record.reason
    return record


def rows_before(record: TrialRecord) -> list[Any]:
    return [row for row in record.timeline if row["start_ns"] < 0]


def test_a_flat_load_is_measured_after_five_rounds(tmp_path: Path) -> None:
    record = simulated("sim", tmp_path)
    measures = record.measures
    assert (measures["steady"], measures["rounds"], measures["steady_range"]) == (True, 5, 0)
    assert measures["window_ns"] == 100 * MS and measures["operations"] == 100
    assert [row["start_ns"] for row in record.timeline] == [-500 * MS + 100 * MS * i for i in range(6)]
    assert [row["operations"] for row in record.timeline] == [100] * 6
    # All of the load: 50 ms of warm-up, five rounds, the window, and what was in flight at its end.
    assert measures["load_bytes"] in (650, 651)


def test_a_load_that_slows_down_is_waited_for(tmp_path: Path) -> None:
    record = simulated("tiring", tmp_path)
    measures = record.measures
    # After t seconds there are 1000 / (1 + t) operations a second, 1000 ln((1 + t2) / (1 + t1)) in a round: in the
    # rounds 8 to 12 that is 55.6, 52.6, 50.3, 50, 50, whose line falls by 10.7 %; one round later it is 4.3 %.
    assert measures["steady"] is True
    assert measures["rounds"] == 13
    assert measures["steady_slope"] == pytest.approx(0.043, abs=0.02)
    assert 49 <= int(measures["operations"] or 0) <= 50
    before = [row["operations"] for row in rows_before(record)]
    assert len(before) == 13 and before == sorted(before, reverse=True)
    assert before[0] > 85 and before[-1] in (49, 50, 51)


def test_a_load_that_never_settles_is_measured_at_the_cap(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, cap_ns=1050 * MS)
    measures = simulated("restless", tmp_path, work).measures
    assert measures["steady"] is False
    assert measures["rounds"] == 10
    assert float(measures["steady_slope"] or 0) > 0.1
    assert int(measures["operations"] or 0) > 0


@pytest.mark.parametrize("threads", [1, 3])
def test_lanes_are_judged_together(tmp_path: Path, threads: int) -> None:
    record = simulated("sim", tmp_path, attrs.evolve(WORK, threads=threads, batch=4), parallelism=4 * threads)
    assert record.measures["steady"] is True
    assert record.measures["operations"] == 400 * threads
    assert sum(row["operations"] for row in record.timeline if row["start_ns"] >= 0) == 400 * threads


def test_a_fixed_time_says_nothing_of_steadiness(tmp_path: Path) -> None:
    record = simulated("sim", tmp_path, attrs.evolve(WORK, until="time", cap_ns=None))
    assert record.measures.get("steady") is None and record.measures.get("rounds") is None
    assert [row["start_ns"] for row in record.timeline] == [0]


def test_rounds_fill_the_cap_and_are_few() -> None:
    assert Rounds.of(attrs.evolve(WORK, time_ns=5 * S, cap_ns=60 * S), 7) == Rounds(7, 5 * S, 12)
    assert Rounds.of(attrs.evolve(WORK, time_ns=10 * MS, cap_ns=60 * S), 0) == Rounds(0, 200 * MS, 300)


@pytest.mark.parametrize("threads", [1, 2])
def test_on_the_real_clock_load_goes_on_into_the_window(tmp_path: Path, threads: int) -> None:
    """How steady a busy machine is, is not asserted; that the figures belong together is."""
    work = Work(
        op="mixed",
        block_bytes=4096,
        batch=8,
        keys=64,
        threads=threads,
        warmup_ns=10 * MS,
        time_ns=40 * MS,
        until="steady",
        cap_ns=600 * MS,
        timeout_ns=30 * S,
    )
    tier = Tier("dram", "memory", MemoryDriver.settings())
    (record,) = conduct(make_plan(make_point("p", tier, work, 1)), REGISTRY, tmp_path)
    assert record.status == "ok", record.reason
    measures = record.measures
    rounds = int(measures["rounds"] or 0)
    assert 5 <= rounds <= 15 and (measures["steady"] or rounds == 15)
    assert measures["window_ns"] == 40 * MS
    before = rows_before(record)
    assert len(before) == rounds
    assert before[0]["start_ns"] <= -rounds * 40 * MS and before[-1]["start_ns"] <= -40 * MS
    inside = sum(row["operations"] for row in record.timeline if row["start_ns"] >= 0)
    assert inside == measures["operations"]
    assert int(measures["load_bytes"] or 0) >= 4096 * (inside + sum(row["operations"] for row in before))


def test_a_lane_that_fails_ends_the_wait(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, block_bytes=4096, batch=4, keys=16, cap_ns=60 * S, timeout_ns=30 * S)
    tier = Tier("bad", "fake", FakeDriver.settings(fault="raise", after=200))
    (record,) = conduct(make_plan(make_point("p", tier, work, 1)), registry_of(fake=FakeDriver), tmp_path)
    assert record.status == "error" and "raised ZeroDivisionError" in record.reason
