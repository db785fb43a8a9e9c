"""docs/stores.md: its scenarios are right, its columns and settings are the drivers'; the shipped study runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvscen.language.schema import settings_of
from kvscen_drivers.minio_memkv.driver import MinioMemkvDriver
from kvscen_drivers.mooncake.driver import MooncakeDriver
from kvscen_drivers.redis.driver import RedisDriver
from tests.e2e.support import ROOT, kvscen, scenario, trials

PAGE = (ROOT / "docs" / "stores.md").read_text("utf-8")
DRIVERS = (RedisDriver, MooncakeDriver, MinioMemkvDriver)


@pytest.mark.parametrize("text", re.findall(r"```kvs\n(.*?)```", PAGE, re.DOTALL))
def test_the_scenarios_are_right(tmp_path: Path, text: str) -> None:
    done = kvscen(tmp_path, "lint", scenario(tmp_path, text))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_column_is_named(driver: type[RedisDriver]) -> None:
    for measure in driver.measures:
        assert f"`{measure.name}`" in PAGE


def test_the_settings_are_there() -> None:
    known = {name for driver in DRIVERS for name in settings_of(driver.settings)}
    named = re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE[PAGE.index("| setting |") : PAGE.index("| what happens |")], re.M)
    assert {name for row in named for name in re.findall(r"`(\w+)`", row)} <= known


def test_the_study_runs(tmp_path: Path) -> None:
    """Whatever is installed: a store that is not leaves `unavailable` rows."""
    short = [
        "stores.trials=1",
        "stores.time=100 ms",
        "stores.warmup=10 ms",
        "pages.block=64 KiB",
        "pages.working_set=1 MiB",
    ]
    done = kvscen(
        tmp_path,
        "run",
        ROOT / "scenarios" / "stores" / "blocks.kvs",
        "--out",
        "out",
        *(word for pin in short for word in ("--set", pin)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = trials(tmp_path / "out")
    assert len(rows) == 6 and {row["status"] for row in rows} <= {"ok", "unavailable"}
    assert all(row["status"] == "ok" for row in rows if row["driver"] == "memory")
    assert all("; " in str(row["reason"]) for row in rows if row["status"] == "unavailable"), "and what to do"
