"""Plans and records made by hand, for the tests of results and reports."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import attrs

from kvscen.language.blocks import SweepSettings
from kvscen.language.values import Quantity, Symbol, Value
from kvscen.plan.point import Expectation, PatternBlock, Plan, Point, Tier, Work
from kvscen.plugin import Count, PathText, Word, setting
from kvscen.results.record import LatencySeries, Status, TrialRecord

MIB = 1024**2
RUN_ID = "demo-20260102T030405Z-0badcafe"


@attrs.frozen
class Transfer:
    """Settings of a pattern, as few as the tests need."""

    op: str = setting(Word("read", "write"), default="read", help="what is done")
    requests: int = setting(Count(), default=1, help="requests of a batch")


@attrs.frozen
class Disk:
    path: str = setting(PathText(), default="./kv-data", help="folder")


def expectation(measure: str, operator: str, value: Value, text: str = "") -> Expectation:
    return Expectation(measure, operator, value, text or f"{measure} {operator} {value}")


def make_point(
    number: int = 1,
    *,
    axes: Mapping[str, Value] | None = None,
    op: str = "read",
    sweep: str = "blocks",
    trials: int = 3,
    tier: str = "disk",
    driver: str = "posix",
    expectations: tuple[Expectation, ...] = (),
    block_bytes: int = 5 * MIB // 2,
    batch: int = 63,
    **work: Any,
) -> Point:
    return Point(
        id=f"{number:012x}",
        index=number,
        sweep=sweep,
        axes=axes if axes is not None else {"pages.op": Symbol(op), "pages.requests": Quantity.of(number)},
        pattern=PatternBlock("pages", "transfer", Transfer(op=op, requests=_whole((axes or {}).get("pages.requests")))),
        tier=Tier(tier, driver, Disk(path=str((axes or {}).get("disk.path", "./kv-data")))),
        model=None,
        sweep_settings=SweepSettings(pattern="pages", tier=tier, trials=trials, time_ns=10**9),
        work=Work(op, block_bytes, batch, keys=batch, time_ns=10**9, **work),
        expectations=expectations,
    )


def _whole(value: Value | None) -> int:
    return int(value.value) if isinstance(value, Quantity) else 1


def make_plan(*points: Point, scenario: str = "demo", text: str = "kvs 1\n") -> Plan:
    return Plan(scenario=scenario, files=((f"{scenario}.kvs", text),), pins=(), points=points)


def measures(
    throughput_mib: float = 1000.0, p50_us: int = 900, operations: int = 20_000, **more: Any
) -> dict[str, int | float | str | bool | None]:
    """The measures of a good trial; percentiles are there where 10 operations lie above them."""

    def percentile(name: str, value_us: int) -> dict[str, int]:
        needed = {"p50": 20, "p90": 100, "p95": 200, "p99": 1000, "p999": 10_000, "p9999": 100_000}[name]
        return {f"latency_{name}_ns": value_us * 1000} if operations >= needed else {}

    nbytes = operations * 5 * MIB // 2
    return {
        "operations": operations,
        "reads": operations,
        "writes": 0,
        "errors": 0,
        "misses": 0,
        "logical_bytes": nbytes,
        "moved_bytes": nbytes,
        "load_bytes": nbytes + 100 * MIB,
        "device_bytes": nbytes + 100 * MIB,
        "device_ratio": 1.0,
        "window_ns": 10**9,
        "throughput_bytes_per_s": throughput_mib * MIB,
        "latency_mean_ns": p50_us * 1010.0,
        **percentile("p50", p50_us),
        **percentile("p99", p50_us * 3),
        **percentile("p999", p50_us * 9),
        "cpu_ns": 30_000_000,
        "cpu_s_per_gib": 0.031,
        "path": "direct",
        "path_evidence": "O_DIRECT, and the device's counters",
        "pages": "huge",
        "depth_used": 16,
        "alignment_bytes": 512,
        "stride_bytes": 5 * MIB // 2,
        "verified_bytes": 63 * 5 * MIB // 2,
        **more,
    }


SERIES = LatencySeries("disk", "read", "block", "latency", (1000, 2000), (1008, 2016), (19, 1))


def make_record(
    point: Point | str,
    trial: int = 1,
    status: Status = "ok",
    reason: str = "",
    values: Mapping[str, Any] | None = None,
    **more: Any,
) -> TrialRecord:
    fields: dict[str, Any] = {
        "trial_order": trial,
        "started_unix_ns": 1_770_000_000 * 10**9 + trial,
        "latency": (SERIES,),
        "timeline": ({"interval": 0, "start_ns": 0, "duration_ns": 10**8, "operations": 20, "latency_max_ns": 5},),
        "tiers": ({"tier": "disk", "lookups": 10, "hits": 7, "hit_rate": 0.7},),
        "workers": ({"worker": 0, "host": "vm", "pid": 42, "cpus": "0-1"},),
    }
    good = status in ("ok", "interrupted")
    return TrialRecord(
        point_id=point if isinstance(point, str) else point.id,
        trial=trial,
        status=status,
        reason=reason,
        measures=dict(values) if values is not None else (measures() if good else {}),
        **(fields | more),
    )


def share(text: str) -> Quantity:
    return Quantity(Fraction(text) / 100, percent=True)
