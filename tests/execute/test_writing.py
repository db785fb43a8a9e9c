"""What is written around the window: preconditioning before, making it durable after."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from kvscen.plan.point import Tier, Work
from kvscen.plugin import WRITE, Lane, Rows, Store
from kvscen.results.record import TrialRecord
from kvscen_drivers.memory import MemoryDriver, MemoryStore
from tests.execute.support import conduct, make_plan, make_point, registry_of

BLOCK = 4096
WORK = Work("read", BLOCK, 4, 30, operations=40, warmup_ns=0, verify="off", timeout_ns=10**10)
#: What the store was asked to do, in order: keys that are written, "settle", "reset".
LOG: list[int | str] = []
SYNC_NS = 20_000_000


class LoggingLane(Lane):
    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def submit(self, ops: Rows) -> int:
        accepted = self._lane.submit(ops)
        LOG.extend(ops["key"][:accepted][ops["kind"][:accepted] == WRITE].tolist())
        return accepted

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        return self._lane.reap(out, at_least, timeout_ns)

    def close(self) -> None:
        self._lane.close()


class LoggingStore(MemoryStore):
    def lane(self, index: int, arena: object) -> Lane:
        return LoggingLane(super().lane(index, arena))  # type: ignore[arg-type]

    def settle(self) -> None:
        LOG.append("settle")
        time.sleep(SYNC_NS / 1e9)

    def reset(self) -> None:
        LOG.append("reset")


class LoggingDriver(MemoryDriver):
    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> MemoryStore:
        return LoggingStore(tier)


def run(work: Work, folder: Path, trials: int = 1) -> list[TrialRecord]:
    LOG.clear()
    tier = Tier("dram", "memory", MemoryDriver.settings())
    return conduct(make_plan(make_point("p", tier, work, trials)), registry_of(memory=LoggingDriver), folder)


# ---- preconditioning


@pytest.mark.parametrize("threads", [1, 3, 40])
def test_the_data_set_is_written_over_once_before_the_first_trial(tmp_path: Path, threads: int) -> None:
    work = attrs.evolve(WORK, precondition=3, threads=threads)
    records = run(work, tmp_path, trials=2)
    assert [r.status for r in records] == ["ok", "ok"]
    first = LOG.index("reset")
    laid_out = LOG.index("settle")
    written = [key for key in LOG[laid_out + 1 : first] if key != "settle"]
    assert Counter(written) == dict.fromkeys(range(30), 3)
    assert written[:30] != sorted(written[:30]), "in random order"
    assert LOG[first - 1] == "settle"
    assert set(LOG[first:]) == {"reset"}, "the trials read, and nothing is written between them"


def test_it_is_seen_and_comes_after_the_verification(tmp_path: Path) -> None:
    requests: list[str] = []

    def script(request: object) -> None:
        requests.append(type(request).__name__)

    tier = Tier("dram", "memory", MemoryDriver.settings())
    work = attrs.evolve(WORK, precondition=1, verify="full")
    conduct(make_plan(make_point("p", tier, work, 2)), registry_of(memory=MemoryDriver), tmp_path, script)
    kinds = [name for name in requests if name != "Quit"]
    assert kinds == ["Open", "Prepare", "Verify", "Precondition", "Arm", "Go", "Open", "Arm", "Go"]


# ---- durability


def test_making_it_durable_at_the_end_counts(tmp_path: Path) -> None:
    (record,) = run(attrs.evolve(WORK, op="write", durability="end"), tmp_path)
    measures = record.measures
    assert record.status == "ok", record.reason
    assert LOG[-1] == "settle"
    assert int(measures["sync_ns"] or 0) >= SYNC_NS
    took = int(measures["window_ns"] or 0) + int(measures["sync_ns"] or 0)
    assert measures["throughput_bytes_per_s"] == pytest.approx(40 * BLOCK / (took / 1e9))
    assert measures["operations_per_s"] == pytest.approx(40 / (took / 1e9))


@pytest.mark.parametrize("durability", ["none", "each"])
def test_otherwise_the_core_makes_nothing_durable(tmp_path: Path, durability: str) -> None:
    (record,) = run(attrs.evolve(WORK, op="write", durability=durability), tmp_path)
    assert record.measures["sync_ns"] is None
    assert "settle" not in LOG[LOG.index("reset") :]
    assert record.measures["throughput_bytes_per_s"] == pytest.approx(
        40 * BLOCK / (int(record.measures["window_ns"] or 0) / 1e9)
    )


@pytest.mark.parametrize("order", ["strided", "zipf"])
def test_every_order_is_verified(tmp_path: Path, order: str) -> None:
    work = attrs.evolve(WORK, op="write", order=order, stride=7, skew=1, verify="full", threads=2)
    (record,) = run(work, tmp_path)
    assert (record.status, record.measures["verified_bytes"]) == ("ok", 30 * BLOCK)
