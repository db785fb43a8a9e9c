"""Trials that wait for a steady load: on a virtual clock, where every round is known, and on the real one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
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

        def serve(nbytes: int, now_ns: int) -> int:
            begun.append(now_ns)
            age_ns = now_ns - begun[0]
            model._latency = (MS + (age_ns if restless else min(age_ns, S)) // 1000) * model.ticks_per_ns
            return plain(nbytes, now_ns)

        model.serve = serve  # type: ignore[method-assign]


class TiringDriver(SimDriver):
    name = "tiring"
    restless = False

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> SimStore:
        return TiringStore(tier, self.restless)


class RestlessDriver(TiringDriver):
    name = "restless"
    restless = True


class WakingStore(SimStore):
    """Operations that are served in the first 300 ms take 4 ms, later ones 1 ms."""

    def __init__(self, tier: Tier) -> None:
        super().__init__(tier)
        model, plain = self.model, self.model.serve
        begun: list[int] = []

        def serve(nbytes: int, now_ns: int) -> int:
            begun.append(now_ns)
            model._latency = (4 if now_ns - begun[0] < 300 * MS else 1) * MS * model.ticks_per_ns
            return plain(nbytes, now_ns)

        model.serve = serve  # type: ignore[method-assign]


class WakingDriver(SimDriver):
    name = "waking"

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> SimStore:
        return WakingStore(tier)


REGISTRY = registry_of(
    sim=SimDriver, tiring=TiringDriver, restless=RestlessDriver, waking=WakingDriver, memory=MemoryDriver
)


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


# ---- open loops: the tier can do 1000 operations a second, one at a time


def paced(rate: int, **more: Any) -> Work:
    return attrs.evolve(WORK, rate_per_s=Fraction(rate), depth=4, **more)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_open_loop_that_keeps_up_is_measured_after_five_rounds(tmp_path: Path, threads: int) -> None:
    record = simulated("sim", tmp_path, paced(500, threads=threads))
    measures = record.measures
    assert (measures["steady"], measures["rounds"], measures["steady_drift"]) == (True, 5, 0)
    assert measures["window_ns"] == 100 * MS and measures["operations"] == 50
    assert (measures["offered_per_s"], measures["achieved_per_s"], measures["backlog"]) == (500, 500, 0)
    assert [row["start_ns"] for row in record.timeline] == [-500 * MS + 100 * MS * i for i in range(6)]
    assert [row["operations"] for row in record.timeline] == [50] * 6
    # Every operation that was due in the window has its latency, and waited for nothing.
    block = next(s for s in record.latency if (s.unit, s.phase) == ("block", "latency"))
    assert sum(block.count) == 50
    assert MS <= int(measures["latency_p50_ns"] or 0) <= int(measures["latency_max_ns"] or 0) <= 1.01 * MS
    assert measures["load_bytes"] == 325


def test_a_closed_loop_has_nothing_to_fall_behind(tmp_path: Path) -> None:
    assert simulated("sim", tmp_path).measures["steady_drift"] is None


def test_poisson_arrivals_are_judged_by_what_came_due(tmp_path: Path) -> None:
    """In five rounds they are not the rate, and a round with 1000 of them has a p99."""
    work = paced(16_000, arrival="poisson", keys=64, seed=3)
    settings = SimDriver.settings(bandwidth_bytes_per_s=10**12, latency_ns=MS // 4, parallelism=8)
    (record,) = conduct(
        make_plan(make_point("p", Tier("t", "sim", settings), attrs.evolve(work, depth=64), 1)), REGISTRY, tmp_path
    )
    measures = record.measures
    assert measures["steady"] is True and abs(float(measures["steady_drift"] or 0)) <= 0.01
    assert all(row["latency_p99_ns"] is not None for row in rows_before(record))
    assert 1400 < int(measures["operations"] or 0) < 1800 and measures["offered_per_s"] == 16_000


@pytest.mark.parametrize(("rate", "share"), [(2000, 1 / 2), (1250, 1 / 5), (1020, 1 / 51)])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_open_loop_that_falls_behind_is_measured_at_the_cap(
    tmp_path: Path, rate: int, share: float, threads: int
) -> None:
    """Its throughput is even all the time, and its latency grows by ever less of itself."""
    record = simulated("sim", tmp_path, paced(rate, threads=threads, cap_ns=6 * S))
    measures = record.measures
    assert (measures["steady"], measures["rounds"]) == (False, 60)
    assert measures["steady_drift"] == pytest.approx(share, abs=0.01)
    assert (measures["steady_range"], measures["steady_slope"]) == (0, 0)
    assert (measures["offered_per_s"], measures["achieved_per_s"]) == (rate, 1000)
    assert measures["window_ns"] == 100 * MS and measures["operations"] == 100
    # 50 ms of warm-up, 60 rounds and the window; in flight is what is not a backlog.
    assert measures["backlog"] == pytest.approx((rate - 1000) * 6.15, abs=4 * threads + 2)
    waits = [row["latency_p50_ns"] for row in record.timeline]
    assert waits == sorted(waits) and waits[-1] > (share - 0.01) * 6 * S
    assert [row["operations"] for row in record.timeline] == [100] * 61


def test_what_was_due_in_the_window_and_not_submitted_has_no_latency(tmp_path: Path) -> None:
    measures = simulated("sim", tmp_path, paced(2000)).measures
    assert measures["operations"] == 100 and int(measures["backlog"] or 0) > 2 * 100
    assert [measures[f"latency_{name}_ns"] for name in ("p50", "mean", "max")] == [None] * 3


def test_an_open_loop_is_measured_when_it_has_caught_up(tmp_path: Path) -> None:
    record = simulated("waking", tmp_path, paced(800))
    measures = record.measures
    before = rows_before(record)
    # 250 a second for 0.3 s leave 165 behind. They take until 1.125 s, in the eleventh round, and are as even meanwhile
    # as what comes later.
    assert [row["operations"] for row in before[3:9]] == [100] * 6
    assert measures["steady"] is True and int(measures["rounds"] or 0) == 16
    assert max(row["latency_p50_ns"] for row in before) > 100 * MS
    assert (measures["achieved_per_s"], measures["backlog"], measures["steady_drift"]) == (800, 0, 0)
    assert int(measures["latency_max_ns"] or 0) < 2 * MS


def test_on_the_real_clock_an_open_loop_that_falls_behind_ends_at_its_cap(tmp_path: Path) -> None:
    """One operation at a time takes 2 ms or more, however busy the machine is, and 4000 come due a second."""
    work = Work(
        op="read",
        block_bytes=512,
        batch=1,
        keys=8,
        depth=1,
        rate_per_s=Fraction(4000),
        warmup_ns=10 * MS,
        time_ns=40 * MS,
        until="steady",
        cap_ns=400 * MS,
        timeout_ns=30 * S,
    )
    tier = Tier("slow", "fake", FakeDriver.settings(latency_ns=2 * MS))
    (record,) = conduct(make_plan(make_point("p", tier, work, 1)), registry_of(fake=FakeDriver), tmp_path)
    assert record.status == "ok", record.reason
    measures = record.measures
    assert (measures["steady"], measures["rounds"]) == (False, 10)
    assert float(measures["steady_drift"] or 0) > 0.5
    assert float(measures["achieved_per_s"] or 0) <= 525 and int(measures["backlog"] or 0) > 1000
    assert len(rows_before(record)) == 10


# ---- lanes, lengths, clocks


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
