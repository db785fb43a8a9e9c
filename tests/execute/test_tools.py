"""Tools that measure groups of points: each trial still has a record of its own, whatever becomes of the group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from kvscen.plan.point import Point, Tier, Work
from kvscen.plugin import Tool, ToolRow
from kvscen.results.record import TrialRecord
from tests.execute.support import conduct, make_plan, make_point, registry_of

WORK = Work(op="read", block_bytes=4096, batch=8, keys=8, warmup_ns=10**9, time_ns=2 * 10**9, timeout_ns=3 * 10**9)


@attrs.frozen
class NoSettings:
    pass


class Recording(Tool):
    """A tool that measures all points of two or more letters of a name together, as long as it is told to."""

    name = "recording"
    summary = "writes down what it is asked"
    settings = NoSettings
    calls: ClassVar[list[tuple[tuple[str, ...], int, float]]] = []
    statuses: ClassVar[dict[str, str]] = {}

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[Point]]:
        together = [point for point in points if point.id.startswith("g")]
        return [*([together] if together else []), *([point] for point in points if not point.id.startswith("g"))]

    async def run(self, points: Sequence[Point], trial: int, folder: Path, deadline_s: float) -> Sequence[ToolRow]:
        assert folder.is_dir() and not list(folder.iterdir())
        self.calls.append((tuple(point.id for point in points), trial, deadline_s))
        return [
            ToolRow(point.id, self.statuses.get(point.id, "ok"), "", {"operations": trial})  # type: ignore[arg-type]
            for point in points
            if self.statuses.get(point.id) != "forgotten"
        ]


@pytest.fixture(autouse=True)
def fresh() -> None:
    Recording.calls, Recording.statuses = [], {}


def measured(
    folder: Path, *ids: str, trials: int = 2, done: frozenset[tuple[str, int]] = frozenset()
) -> list[TrialRecord]:
    tier = Tier("t", "recording", NoSettings())
    plan = make_plan(*(make_point(name, tier, WORK, trials) for name in ids))
    return conduct(plan, registry_of(recording=Recording), folder, done=done)


def test_a_group_is_run_once_in_a_trial_and_each_point_has_its_record(tmp_path: Path) -> None:
    records = measured(tmp_path, "g1", "g2", "g3", "x")
    assert sorted((r.point_id, r.trial, r.status) for r in records) == [
        (name, trial, "ok") for name in ("g1", "g2", "g3", "x") for trial in (1, 2)
    ]
    assert [r.trial_order for r in records] == list(range(1, 9))
    assert sorted((ids, trial) for ids, trial, _ in Recording.calls) == [
        (("g1", "g2", "g3"), 1), (("g1", "g2", "g3"), 2), (("x",), 1), (("x",), 2),
    ]  # fmt: skip
    # What each of them may take: warm-up, time and timeout.
    assert {len(ids): deadline for ids, _, deadline in Recording.calls} == {3: 18.0, 1: 6.0}
    assert all(record.measures["operations"] == record.trial for record in records)
    assert len({r.started_unix_ns for r in records if r.point_id != "x" and r.trial == 1}) == 1


def test_what_is_done_is_not_measured_again(tmp_path: Path) -> None:
    records = measured(tmp_path, "g1", "g2", "g3", done=frozenset({("g1", 1), ("g2", 1), ("g3", 2)}))
    assert sorted((r.point_id, r.trial) for r in records) == [("g1", 2), ("g2", 2), ("g3", 1)]
    assert sorted((ids, trial) for ids, trial, _ in Recording.calls) == [(("g1", "g2"), 2), (("g3",), 1)]


@pytest.mark.parametrize("status", ["hang", "unavailable"])
def test_a_point_that_hung_is_not_tried_again(tmp_path: Path, status: str) -> None:
    Recording.statuses = {"g2": status}
    records = measured(tmp_path, "g1", "g2", trials=3)
    assert [r.status for r in records if r.point_id == "g2"] == [status] * 3
    assert [r.status for r in records if r.point_id == "g1"] == ["ok"] * 3
    assert sorted(len(ids) for ids, *_ in Recording.calls) == [1, 1, 2]


def test_errors_are_tried_again(tmp_path: Path) -> None:
    Recording.statuses = {"g2": "error"}
    measured(tmp_path, "g1", "g2", trials=3)
    assert [len(ids) for ids, *_ in Recording.calls] == [2, 2, 2]


def test_a_point_without_a_row_is_an_error_of_the_driver(tmp_path: Path) -> None:
    Recording.statuses = {"x": "forgotten"}
    records = measured(tmp_path, "x", trials=1)
    assert [(r.status, r.reason) for r in records] == [
        ("error", "the driver `recording` returned no row for the point")
    ]
