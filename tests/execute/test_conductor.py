"""The conductor on trio's mock clock: every trial ends in one record, whatever its worker does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
import trio.testing

from kvscen.execute import messages
from kvscen.execute.order import stages_in_order
from kvscen.plan.point import Plan, Point, Tier, Work
from kvscen.plan.seek import Seen
from kvscen.plugin import Layout, Lost, Store
from kvscen_drivers.memory import MemoryDriver, MemoryStore
from tests.execute.support import InProcessChannel, conduct, make_plan, make_point, registry_of

WORK = Work(op="read", block_bytes=4096, batch=8, keys=32, time_ns=20_000_000, timeout_ns=5 * 10**9)
MEMORY = Tier("dram", "memory", MemoryDriver.settings())
REGISTRY = registry_of(memory=MemoryDriver)

assert trio.testing


def points(count: int = 2, trials: int = 2) -> tuple[Point, ...]:
    return tuple(make_point(f"p{number}", MEMORY, WORK, trials) for number in range(count))


def in_order(plan: Plan) -> list[tuple[str, int]]:
    return [(point.id, trial) for stage in stages_in_order(plan, lambda *_: never()) for point, trial in stage]


def never() -> Seen:
    raise AssertionError("nothing is searched")


def outcomes(records: list) -> Counter:
    return Counter((record.point_id, record.status) for record in records)


def test_every_trial_is_measured_and_verified(tmp_path: Path) -> None:
    records = conduct(make_plan(*points()), REGISTRY, tmp_path)
    assert outcomes(records) == {("p0", "ok"): 2, ("p1", "ok"): 2}
    assert sorted(r.trial_order for r in records) == [1, 2, 3, 4]
    for record in records:
        measures = record.measures
        assert measures["verified_bytes"] == 32 * 4096
        assert measures["throughput_bytes_per_s"] == pytest.approx(measures["operations"] * 4096 / 0.02)
        assert measures["window_ns"] == 20_000_000
        assert sum(row["operations"] for row in record.timeline) == measures["operations"]
        block = next(s for s in record.latency if (s.unit, s.phase) == ("block", "latency"))
        assert sum(block.count) >= measures["operations"] - 8


@pytest.mark.parametrize(
    ("batch", "requests", "units"),
    [(6, 2, {"block", "batch", "request"}), (5, 2, {"block", "batch"}), (3, 4, {"block", "batch"})],
)
def test_requests_that_share_blocks_have_no_latency(tmp_path: Path, batch: int, requests: int, units: set[str]) -> None:
    """As with KVBench's batches: half a block's more or less would be no request's latency."""
    work = attrs.evolve(WORK, batch=batch, requests=requests, time_ns=None, operations=60 * batch)
    (record,) = conduct(make_plan(make_point("p", MEMORY, work, 1)), REGISTRY, tmp_path)
    assert record.status == "ok", record.reason
    numbers = {series.unit: sum(series.count) for series in record.latency if series.phase == "latency"}
    assert set(numbers) == units
    assert (numbers["block"], numbers["batch"]) == (60 * batch, 60)
    assert record.measures["batch_latency_p50_ns"] is not None
    if "request" in units:
        assert numbers["request"] == 120 and record.measures["request_latency_p50_ns"] is not None
    else:
        assert record.measures["request_latency_p50_ns"] is None and record.measures["request_latency_p99_ns"] is None


def test_a_hang_costs_its_point_and_no_other(tmp_path: Path) -> None:
    channels: list[InProcessChannel] = []
    hung = []

    def script(request: messages.Request) -> str | None:
        if isinstance(request, messages.Arm) and request.point_id == "p0":
            hung.append(request)
            return "hang"
        return None

    records = conduct(make_plan(*points(2, trials=3)), REGISTRY, tmp_path, script, channels=channels)
    assert outcomes(records) == {("p0", "hang"): 3, ("p1", "ok"): 3}
    assert len(hung) == 1, "the other trials of a point that hung are not run"
    assert channels[0].killed
    reasons = [r.reason for r in records if r.point_id == "p0"]
    assert "5 s" in reasons[0] and reasons[1].startswith("not run after trial 1")


def test_a_worker_that_dies_costs_its_trial(tmp_path: Path) -> None:
    deaths = []

    def script(request: messages.Request) -> str | None:
        if isinstance(request, messages.Go) and not deaths:
            deaths.append(request)
            return "die"
        return None

    records = conduct(make_plan(*points()), REGISTRY, tmp_path, script)
    assert Counter(r.status for r in records) == {"error": 1, "ok": 3}
    assert next(r.reason for r in records if r.status == "error") == "the worker died: killed by SIGSEGV"


class _Loses(MemoryDriver):
    """Its first store finds out, when it makes room, that this process can no longer use what it drives."""

    opened = 0

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        store = super().open(tier, work, levels)
        type(self).opened += 1
        if self.opened == 1:
            store.prepare = _lose  # type: ignore[method-assign]
        return store


def _lose(layout: Layout) -> Sequence[int]:
    raise Lost("the device is gone", "look at it")


def test_a_worker_that_lost_its_device_is_replaced(tmp_path: Path) -> None:
    channels: list[InProcessChannel] = []
    _Loses.opened = 0
    records = conduct(make_plan(*points()), registry_of(memory=_Loses), tmp_path, channels=channels)
    assert Counter(r.status for r in records) == {"error": 2, "ok": 2}
    assert sorted(r.reason for r in records if r.status == "error")[1] == "the device is gone; look at it"
    assert [channel.killed for channel in channels] == [True, True], "one was of no more use, one came to its end"


def test_progress_without_an_end_is_incomplete_not_a_hang(tmp_path: Path) -> None:
    def script(request: messages.Request) -> str | None:
        return "creep" if isinstance(request, messages.Go) else None

    records = conduct(make_plan(*points(1, trials=1)), REGISTRY, tmp_path, script)
    assert [r.status for r in records] == ["incomplete"]
    assert "did not end in its time" in records[0].reason


def test_an_interrupted_trial_is_recorded_as_such(tmp_path: Path) -> None:
    def script(request: messages.Request) -> str | None:
        return "creep" if isinstance(request, messages.Go) else None

    records = conduct(make_plan(*points()), REGISTRY, tmp_path, script, cancel_after_s=1)
    assert [r.status for r in records] == ["interrupted"]


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    plan = make_plan(*points())
    records = conduct(plan, REGISTRY, tmp_path, done=frozenset({("p0", 1), ("p1", 2)}))
    assert sorted((r.point_id, r.trial) for r in records) == [("p0", 2), ("p1", 1)]
    order = in_order(plan)
    assert [order[r.trial_order - 1] for r in records] == [(r.point_id, r.trial) for r in records]


def test_two_client_processes_share_the_window(tmp_path: Path) -> None:
    work = attrs.evolve(WORK, processes=2, threads=2)
    records = conduct(make_plan(make_point("p", MEMORY, work, 1)), REGISTRY, tmp_path)
    # In one process the two workers run one after the other, so the second is late; both have their own rows.
    assert [row["worker"] for row in records[0].workers] == [0, 1]


def test_rounds_are_interleaved_and_drawn_from_the_seed() -> None:
    plan = make_plan(*points(6, trials=4))
    order = in_order(plan)
    rounds = [order[start : start + 6] for start in range(0, 24, 6)]
    assert all({trial for _, trial in some} == {number} for number, some in enumerate(rounds, start=1))
    assert len({tuple(id for id, _ in some) for some in rounds}) > 1
    assert order == in_order(plan)
    fixed = make_plan(*(make_point(f"p{n}", MEMORY, WORK, 2, "sequential") for n in range(2)))
    assert in_order(fixed) == [("p0", 1), ("p0", 2), ("p1", 1), ("p1", 2)]


class TalkingStore(MemoryStore):
    def measures(self) -> dict[str, int | float | str | None]:
        return {"throughput_bytes_per_s": "fast"}


class Talker(MemoryDriver):
    name = "talker"

    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> Store:
        return TalkingStore(tier)


def test_figures_that_fit_no_column_are_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    tier = Tier("t", "talker", MemoryDriver.settings())
    records = conduct(make_plan(make_point("p", tier, WORK, 1)), registry_of(talker=Talker), tmp_path)
    assert [r.status for r in records] == ["error"]
    assert "`throughput_bytes_per_s`" in records[0].reason
