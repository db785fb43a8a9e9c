"""A run whose figures can be worked out by hand: users who converse on a cache and on a disk, a replay, a transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from kvscen.language.values import Symbol
from kvscen.measure.histogram import Histogram
from kvscen.plan.point import PatternBlock, Point, Tier
from kvscen.plugin import Count, Word, setting
from kvscen.results.record import LatencySeries, TrialRecord
from tests.report.scenes import Scene
from tests.results.support import MIB, Disk, make_plan, make_point, make_record

PERCENTILES = ("p50", "p95", "p99", "p999", "p9999")
#: Ids of the points.
CACHE, DISK, REPLAY, TRANSFER = (f"{number:012x}" for number in (1, 2, 3, 4))


@attrs.frozen
class Talk:
    """Settings of a pattern that the export looks at."""

    page_tokens: int = setting(Count(), default=16, help="tokens of a block")
    generation: str | None = setting(Word("none", "fast"), default="none", help="time for a generated token")
    tpot: str | None = setting(Word("none"), default=None, help="likewise")


@attrs.frozen
class Dram:
    pass


def scene(generation: str = "none") -> Scene:
    """100 requests of two kinds of users and 6,000 generated tokens in 2 s, blocks of 1 MiB (16 tokens)."""
    levels = (Tier("hbm", "memory", Dram()), Tier("dram", "memory", Dram()), Tier("nvme", "posix", Disk()))
    talk = PatternBlock("chats", "conversations", Talk(generation=generation))
    points = [
        _point(1, talk, Tier("cache", "tiered", Dram(), levels)),
        _point(2, talk, Tier("disk", "posix", Disk())),
        _point(3, PatternBlock("again", "replay", Talk(generation=None)), Tier("disk", "posix", Disk())),
        make_point(4),
    ]
    records = [
        *(conversation(points[0], trial, tiers=tuple(level_rows())) for trial in (1, 2)),
        make_record(points[0], 3, "incomplete", "438 of 549 operations completed", {"errors": 0}),
        conversation(points[1], 1, latency=(*SERIES, *of_blocks())),
        replay(points[2], 1),
        make_record(points[3], 1),
    ]
    return make_plan(*points, scenario="talk"), records


def _point(number: int, pattern: PatternBlock, tier: Tier) -> Point:
    point = make_point(
        number, op="mixed", axes={"tier": Symbol(tier.name)}, block_bytes=MIB, batch=1500, requests=100, tier=tier.name
    )
    return attrs.evolve(point, pattern=pattern, tier=tier)


def series(operation: str, unit: str, phase: str, values_ns: Any) -> LatencySeries:
    histogram = Histogram()
    histogram.add(np.asarray(values_ns, np.int64))
    return LatencySeries("cache", operation, unit, phase, *histogram.buckets())


SERIES = (series("read", "request", "storage", np.arange(1, 101) * 1_000_000),)


def of_blocks() -> tuple[LatencySeries, ...]:
    """What makes the percentiles of a tier without levels: reads of 1 to 20 ms, writes of 2 ms."""
    return (
        series("read", "block", "service", np.linspace(1e6, 20e6, 20_000)),
        series("write", "block", "service", np.full(1000, 2_000_000)),
        series("read", "block", "latency", np.full(20_000, 10**9)),
    )


def percentiles(name: str, *ms: float | None) -> dict[str, int | None]:
    return {
        f"{name}_{which}_ns": None if value is None else round(value * 1e6)
        for which, value in zip(PERCENTILES, (*ms, None, None, None, None), strict=False)
    }


MEASURED: Mapping[str, Any] = {
    "operations": 4000,
    "reads": 3000,
    "writes": 1000,
    "errors": 0,
    "lookups": 4000,
    "hits": 3000,
    "misses": 1000,
    "hit_rate": 0.75,
    "window_ns": 2 * 10**9,
    "sync_ns": None,
    "stride_bytes": MIB,
    "request_rate_per_s": 50.0,
    **percentiles("request_latency", 12, 40, None),
    "sequence": "0123456789abcdef",
    "path": "mixed",
    "path_evidence": "by hand",
}


def conversation(point: Point, trial: int, **more: Any) -> TrialRecord:
    values = {
        **MEASURED,
        "history_hit_rate": 0.5,
        "generated_tokens": 6000,
        "wall_tokens_per_s": 3000.0,
        "storage_time_ns": 12 * 10**9,
        "storage_tokens_per_s": 500.0,
        **{f"request_storage_{which}_ns": ns for which, ns in (("p50", 9_000_000), ("p95", None), ("p99", None))},
    }
    return make_record(
        point,
        trial,
        values=values,
        **{"users": users(), "found": tuple(found()), "latency": SERIES, "tiers": (), **more},
    )


def replay(point: Point, trial: int) -> TrialRecord:
    return make_record(point, trial, values=MEASURED, latency=of_blocks(), tiers=())


def users() -> tuple[dict[str, Any], ...]:
    """60 requests of 10 ms in the mean and 40 of 20 ms: 14 ms."""
    return (
        {
            "users": "interactive",
            "requests": 60,
            "output_tokens": 3000,
            "request_latency_mean_ns": 10e6,
            **percentiles("request_latency", 9),
            "request_latency_max_ns": 30_000_000,
            "target_p95_ns": 50_000_000,
            "target_p99_ns": 100_000_000,
            "within_p95_share": 0.95,
            "within_p99_share": 0.97,
            "qos_met": False,
        },
        {
            "users": "batch",
            "requests": 40,
            "output_tokens": 3000,
            "request_latency_mean_ns": 20e6,
            **percentiles("request_latency", 18),
            "request_latency_max_ns": 90_000_000,
        },
    )


def found() -> list[dict[str, Any]]:
    """By kind its look-ups and what each level had of it. 1,000 of 4,000 look-ups nobody could have found."""
    kinds = {
        "history": (1000, (200, 200, 100)),
        "shared": (100, (80, 0, 0)),
        "document": (150, (0, 0, 120)),
        "reread": (2300, (2300, 0, 0)),
        "new": (450, (0, 0, 0)),
    }
    rows = []
    for kind, (lookups, hits) in kinds.items():
        tiers = (None, "hbm", "dram", "nvme")
        for level, (tier, own) in enumerate(zip(tiers, (sum(hits), *hits), strict=True)):
            rows.append(
                {
                    "kind": kind,
                    "tier": tier,
                    "level": level - 1 if level else None,
                    "lookups": lookups,
                    "hits": own,
                    "hit_rate": own / lookups,
                }
            )
    return rows


def level_rows() -> list[dict[str, Any]]:
    """Three levels, and what moved between them."""
    levels = []
    for level, (name, reads, writes, held, admitted) in enumerate(
        (("hbm", 2048, 1024, 256, 1000), ("dram", 512, 768, 512, 750), ("nvme", 256, 128, 128, 125))
    ):
        levels.append(
            {
                "tier": name,
                "level": level,
                "occupancy_bytes": held * MIB,
                "read_bytes": reads * MIB,
                "write_bytes": writes * MIB,
                "admitted": admitted,
                **percentiles("latency", 1.5 * (level + 1)),
                **percentiles("read_latency", level + 1, 2 * (level + 1), 3 * (level + 1)),
                **percentiles("write_latency", 5 * (level + 1), None),
            }
        )
    return [*levels, {"tier": "hbm", "to_tier": "dram", "level": 0, "demoted_bytes": 768 * MIB, "operations": 768}]
