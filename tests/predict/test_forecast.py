"""What the points of a scenario would give: computed in this process, and the same as a run's."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvscen.cache import POLICIES, PROMOTIONS, WRITES, CacheLevel, TieredCache
from kvscen.lint import lint_file
from kvscen.plan.point import Plan, Tier
from kvscen.plugin import Driver, DriverError
from kvscen.plugin.registry import registry
from kvscen.predict import PredictionError
from kvscen.predict.forecast import Forecast, forecast, forecast_point, to_forecast
from kvscen.predict.replay import replay
from kvscen.trace.requests import read_requests
from kvscen_drivers.memory import MemoryDriver, MemorySettings
from kvscen_drivers.tiered import TieredDriver
from tests.drivers.tiered.levels import tiered
from tests.drivers.tiered.test_replay import A_TRACE, BLOCKS, trace_file, work_of
from tests.execute.support import make_point, registry_of

#: 512 tokens of a block at 1000 tokens/s are 512 ms.
TEXT = """kvs 1
tier fast : sim {{ bandwidth = 1 GB/s; latency = 10 ns; parallelism = 2; capacity = 8 kB }}
tier slow : sim {{ bandwidth = 250 MB/s; latency = 100 ns; parallelism = 1 }}
tier mix  : tiered {{ levels = [fast, slow] }}
tier dram : memory {{ capacity = 8 kB }}
tier real : tiered {{ levels = [dram]; eviction = lru }}
tier keep : memory {{ }}
pattern p : replay {{ trace = trace("requests.jsonl"); block = 1 kB; {pattern} }}
pattern t : transfer {{ block = 1 kB; op = read }}
sweep s {{ {sweep}; seed = 1; trials = 3 }}
"""


def plan_of(folder: Path, sweep: str, pattern: str = "users = 1") -> Plan:
    trace_file(folder, A_TRACE)
    path = folder / "a.kvs"
    path.write_text(TEXT.format(sweep=sweep, pattern=pattern))
    found = lint_file(path, [])
    assert found.plan is not None, found.diagnostics
    return found.plan


def forecasts(folder: Path, sweep: str, pattern: str = "users = 1") -> list[Forecast]:
    return list(forecast(to_forecast(plan_of(folder, sweep, pattern)), registry()))


def test_on_simulated_tiers_everything_is_known(tmp_path: Path) -> None:
    (one,) = forecasts(tmp_path, "pattern = p; tier = mix", "users = 1; prefill = 1000 tokens/s")
    assert (one.status, one.timed, one.notes) == ("ok", True, ())
    requests = read_requests(tmp_path / "requests.jsonl")
    cache = TieredCache([CacheLevel(8), CacheLevel(requests.distinct)])
    expected = replay(cache, requests.keys, requests.offsets)
    assert (one.measures["hits"], one.measures["prefix_hits"]) == (expected.hits, expected.prefix_hits)
    assert [row["hits"] for row in one.levels] == [counts.hits for counts in expected.counts]
    assert [row["demoted_bytes"] for row in one.edges] == [expected.counts[0].demoted * 1000]
    # A read or write takes 1 to 8 us; a block that is not found 512 ms.
    load, ttft = one.measures["load_latency_p50_ns"], one.measures["ttft_p50_ns"]
    assert isinstance(load, int) and isinstance(ttft, int) and 0 < load < 10**5
    assert one.measures["throughput_bytes_per_s"] and one.measures["request_latency_p50_ns"]
    assert isinstance(one.measures["ttft_mean_ns"], float)
    misses = 180 - expected.hits
    assert one.measures["ttft_mean_ns"] == pytest.approx(misses / 60 * 512e6, rel=1e-3)


def test_of_real_tiers_only_what_is_found(tmp_path: Path) -> None:
    real, keep = forecasts(tmp_path, "pattern = p; tier in [real, keep]", "speed = 1")
    requests = read_requests(tmp_path / "requests.jsonl")
    expected = replay(TieredCache([CacheLevel(8)]), requests.keys, requests.offsets)
    assert (real.measures["hits"], real.measures["prefix_hits"]) == (expected.hits, expected.prefix_hits)
    assert [(row["tier"], row["hits"]) for row in real.levels] == [("dram", expected.hits)]
    assert real.measures["hit_rate"] == expected.hits / 180
    assert keep.measures["hits"] == 180 - requests.distinct and not keep.tiers
    for one in (real, keep):
        assert not one.timed and "throughput_bytes_per_s" not in one.measures
        assert len(one.notes) == 2, "no times, and blocks of 1 kB are not whole pages"


@settings(max_examples=40, deadline=None)
@given(
    blocks=BLOCKS,
    capacities=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    policy=st.sampled_from(sorted(POLICIES)),
    promotion=st.sampled_from(PROMOTIONS),
    write=st.sampled_from(WRITES),
)
def test_what_is_decided_is_what_a_real_tier_decides(
    tmp_path_factory: pytest.TempPathFactory,
    blocks: list[list[int]],
    capacities: list[int],
    policy: str,
    promotion: Any,
    write: Any,
) -> None:
    levels = [Tier(f"l{number}", "memory", MemorySettings()) for number in range(len(capacities))]
    work = work_of(trace_file(tmp_path_factory.mktemp("t"), blocks), users=2)
    sizes = [count * 1024 for count in capacities]
    tier = tiered(levels, sizes, eviction=policy, promotion=promotion, write=write)
    one = forecast_point(make_point("p", tier, work), registry_of(tiered=TieredDriver, memory=MemoryDriver))
    assert one.status == "ok", one.reason
    keys = len({key for request in blocks for key in request})
    cache = TieredCache([CacheLevel(min(each, keys)) for each in capacities], policy, promotion, write)
    flat = np.array([key for request in blocks for key in request], np.int64)
    expected = replay(cache, flat, np.cumsum([0, *map(len, blocks)]))
    assert (one.measures["hits"], one.measures["prefix_hits"]) == (expected.hits, expected.prefix_hits)
    for row, counts in zip(one.levels, expected.counts, strict=True):
        assert (row["hits"], row["lookups"], row["admitted"]) == (counts.hits, counts.lookups, counts.admitted)


def test_points_that_are_one_are_computed_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "pattern = p; tier = mix")
    twice = list(forecast([plan.points[0], plan.points[0]], registry()))
    assert twice[0] is twice[1]


def test_without_requests_there_is_nothing_to_predict(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="no point of a has requests"):
        to_forecast(plan_of(tmp_path, "pattern = t; tier = keep; time = 1 s"))
    mixed = plan_of(tmp_path, "pattern in [t, p]; tier = keep")
    assert [point.pattern.name for point in to_forecast(mixed)] == ["p"]


class Refusing(Driver):
    name = "refusing"
    summary = "for tests"
    settings = MemorySettings

    def cache(self, tier: Tier, work: Any) -> TieredCache:
        raise DriverError("no room for a single block", "make some")


def test_a_driver_that_refuses_is_heard(tmp_path: Path) -> None:
    work = work_of(trace_file(tmp_path, A_TRACE), users=2)
    point = make_point("p", Tier("t", "refusing", MemorySettings()), work)
    one = forecast_point(point, registry_of(refusing=Refusing))
    assert (one.status, one.reason, one.measures) == ("error", "no room for a single block; make some", {})
    gone = attrs.evolve(work, replay=attrs.evolve(work.replay, path=str(tmp_path / "gone.jsonl")))
    one = forecast_point(attrs.evolve(point, work=gone), registry_of(refusing=Refusing))
    assert one.status == "error" and "gone.jsonl" in one.reason


def test_arrivals_of_years_take_no_time(tmp_path: Path) -> None:
    (one,) = forecasts(tmp_path, "pattern = p; tier = mix", f"speed = {Fraction(1, 1000)!s}".replace("/", " / "))
    assert one.status == "ok" and one.measures["window_ns"] and one.measures["window_ns"] > 118 * 10**9  # type: ignore[operator]
