"""Forecasts as people see them: one golden file for each case.

After a change that is meant: KVSCEN_GOLDEN=write python -m pytest tests/report, then read the difference.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from kvscen.lint import lint_file
from kvscen.plugin.registry import registry
from kvscen.predict import PredictionError
from kvscen.predict.forecast import Forecast, forecast, to_forecast
from kvscen.report.forecast import forecast_json, forecast_rows, forecast_table
from kvscen.report.forecast_png import axis_of, write_forecast_png
from kvscen.report.table import plain_text
from tests.e2e.support import ROOT
from tests.report.test_golden import check

PIN = "chats.speed=8"
#: name -> (scenario, pins, width)
CASES = {
    "mixes": ("sizing.kvs", (), 100),
    "mixes_narrow": ("sizing.kvs", (PIN,), 60),
    "one_mix": ("sizing.kvs", (PIN, "mixes.tier=all_three"), 100),
    "policies": ("replay.kvs", (), 100),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("scenarios")
    shutil.copytree(ROOT / "scenarios" / "traces", place / "traces")
    for name in ("sizing.kvs", "replay.kvs"):
        shutil.copy(ROOT / "scenarios" / name, place)
    return place


@functools.cache
def found(folder: Path, scenario: str, *pins: str) -> list[Forecast]:
    plan = lint_file(folder / scenario, pins).plan
    assert plan is not None
    return list(forecast(to_forecast(plan), registry()))


@pytest.mark.parametrize("name", CASES)
def test_table(folder: Path, name: str) -> None:
    scenario, pins, width = CASES[name]
    shown = forecast_table(scenario.removesuffix(".kvs"), found(folder, scenario, *pins), width, True)
    check(f"forecast_{name}.txt", plain_text(shown, width))


def test_json_and_rows_say_the_same(folder: Path) -> None:
    points = found(folder, "sizing.kvs", PIN)
    shown = forecast_json("sizing", points)
    rows = list(forecast_rows(points))
    assert len({tuple(row) for row in rows}) == 1, "every row has every column"
    for point, row in zip(shown["points"], rows, strict=True):
        assert row["axis.tier"] == point["axes"]["tier"] == row["tier"]
        for key in ("hit_rate", "ttft_p50_ns", "throughput_bytes_per_s", "prefill_tokens_per_s", "sequence"):
            assert row[key] == point[key] is not None
        for level in point["levels"]:
            assert row[f"{level['tier']}.hits"] == level["hits"]
        for edge in point["edges"]:
            assert row[f"{edge['tier']}.{edge['to_tier']}.demoted_bytes"] == edge["demoted_bytes"] > 0
    assert [len(point["levels"]) for point in shown["points"]] == [1, 2, 3]
    assert rows[0]["net.hits"] is None


def test_the_axis_of_a_chart(folder: Path) -> None:
    plan = lint_file(folder / "sizing.kvs", []).plan
    assert plan is not None
    assert axis_of(plan.points, None) == "chats.speed", "the first along which a number varies"
    assert axis_of(plan.points, "tier") == "tier"
    with pytest.raises(PredictionError, match=r"no axis .* is called `chats\.spee`") as wrong:
        axis_of(plan.points, "chats.spee")
    assert wrong.value.remedy == "did you mean `chats.speed`?"
    with pytest.raises(PredictionError, match="differ along no axis"):
        axis_of(plan.points[:1], None)


@pytest.mark.parametrize(
    ("scenario", "pins", "path", "height"),
    [
        ("sizing.kvs", (), "chats.speed", 1500),
        ("sizing.kvs", (PIN,), "tier", 1500),
        ("replay.kvs", (), "cache.eviction", 1000),
    ],
)
def test_a_png(folder: Path, tmp_path: Path, scenario: str, pins: tuple[str, ...], path: str, height: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    points = found(folder, scenario, *pins)
    for name in ("a.png", "b.png"):
        write_forecast_png(scenario, points, path, tmp_path / name)
    assert image.imread(tmp_path / "a.png").shape[:2] == (height, 1600)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
