"""Lanes run where the scenario says, their buffers are touched there, and what is not there is said."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import attrs
import pytest

from kvscen.execute.pinning import lane_cpus, node_of, pinned
from kvscen.plan.point import Tier, Work
from kvscen.plugin import Arena, Lane, Rows, Store, Unavailable
from kvscen.results.record import TrialRecord
from kvscen_drivers.memory import MemoryDriver, MemoryStore
from tests.execute.support import conduct, make_plan, make_point, registry_of

CPUS = sorted(os.sched_getaffinity(0))
LAST = CPUS[-1]
NOWHERE = 8191
WORK = Work("mixed", 4096, 4, 32, read_share=Fraction(1, 2), threads=2, operations=200, timeout_ns=10**10)


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """Two nodes of CPUs and one of memory alone."""
    for number, text in enumerate((f"{CPUS[0]}", f"{LAST},8190", "")):
        folder = tmp_path / "nodes" / f"node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(text + "\n")
    return tmp_path / "nodes"


def test_cpus_are_dealt_out_in_turn() -> None:
    cpus = (LAST, CPUS[0]) if len(CPUS) > 1 else (LAST,)
    work = attrs.evolve(WORK, threads=3, processes=2, cpus=cpus)
    dealt = [next(iter(lane)) for process in range(2) for lane in lane_cpus(work, process)]
    assert dealt == [cpus[number % len(cpus)] for number in range(6)]


def test_without_a_wish_nothing_is_pinned() -> None:
    assert lane_cpus(WORK, 0) == (frozenset(), frozenset())


def test_a_node_gives_its_cpus_to_every_lane(nodes: Path) -> None:
    # Of the CPUs of a node, those that this process may use.
    assert lane_cpus(attrs.evolve(WORK, numa_node=1), 0, nodes) == (frozenset({LAST}),) * 2


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"cpus": (CPUS[0], NOWHERE)}, "may not use CPU 8191"),
        ({"numa_node": 2}, "no CPU of NUMA node 2"),
        ({"numa_node": 7}, "no NUMA node 7; it has the nodes 0-2"),
    ],
)
def test_what_is_not_there_is_said(wish: dict, said: str, nodes: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        lane_cpus(attrs.evolve(WORK, **wish), 0, nodes)
    assert said in f"{caught.value}; {caught.value.remedy}"


def test_the_node_of_cpus(nodes: Path) -> None:
    assert node_of([8190], nodes) == 1
    assert node_of([0, 8191], nodes) is None
    assert node_of([0], nodes / "nothing") is None


def test_pinning_ends() -> None:
    with pinned(frozenset({LAST})):
        assert os.sched_getaffinity(0) == {LAST}
    assert sorted(os.sched_getaffinity(0)) == CPUS


#: (what, the CPUs of the thread that did it, is it the main thread?)
SEEN: list[tuple[str, frozenset[int], bool]] = []


def see(what: str) -> None:
    main = threading.current_thread() is threading.main_thread()
    SEEN.append((what, frozenset(os.sched_getaffinity(0)), main))


class SeeingLane(Lane):
    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def submit(self, ops: Rows) -> int:
        see("submit")
        return self._lane.submit(ops)

    def reap(self, out: Rows, at_least: int, timeout_ns: int) -> int:
        return self._lane.reap(out, at_least, timeout_ns)

    def close(self) -> None:
        self._lane.close()


class SeeingStore(MemoryStore):
    def allocate(self, nbytes: int, memory: str) -> Arena:
        see("allocate")
        return super().allocate(nbytes, memory)

    def lane(self, index: int, arena: Arena) -> Lane:
        return SeeingLane(super().lane(index, arena))


class SeeingDriver(MemoryDriver):
    def open(self, tier: Tier, work: Work, levels: Sequence[Store]) -> MemoryStore:
        return SeeingStore(tier)


def run(work: Work, folder: Path) -> TrialRecord:
    SEEN.clear()
    tier = Tier("dram", "memory", MemoryDriver.settings())
    (record,) = conduct(make_plan(make_point("p", tier, work, 1)), registry_of(memory=SeeingDriver), folder)
    return record


def test_lanes_and_whoever_touches_their_buffers_first_are_pinned(tmp_path: Path) -> None:
    cpus = tuple({CPUS[0], LAST})
    record = run(attrs.evolve(WORK, cpus=cpus), tmp_path)
    assert record.status == "ok", record.reason
    wanted = [frozenset({cpus[lane % len(cpus)]}) for lane in range(2)]
    assert [cpus_ for what, cpus_, _ in SEEN if what == "allocate"] == wanted
    assert {cpus_ for what, cpus_, main in SEEN if what == "submit"} == set(wanted)
    assert not any(main for what, _, main in SEEN if what == "submit")
    assert sorted(os.sched_getaffinity(0)) == CPUS, "the main thread is free again"
    (worker,) = record.workers
    assert worker["cpus"] in (str(cpus[0]), f"{CPUS[0]}-{LAST}", f"{CPUS[0]},{LAST}")


def test_a_cpu_that_is_not_there_ends_as_unavailable(tmp_path: Path) -> None:
    record = run(attrs.evolve(WORK, cpus=(NOWHERE,)), tmp_path)
    assert (record.status, SEEN) == ("unavailable", [])
    assert "8191" in record.reason and "choose `cpus` among" in record.reason


def test_workers_say_where_they_run(tmp_path: Path) -> None:
    (worker,) = run(WORK, tmp_path).workers
    assert worker["numa_node"] == node_of(CPUS)
