"""From what the requests of users got to the rows and measures of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kvscen.measure.histogram import Histogram
from kvscen.pattern.talking import Int64s, Talked
from kvscen.results.measures import PERCENTILES
from kvscen.trace.requests import KINDS, NEW

Cell = int | float | str | bool | None


def talk_measures(talked: Talked, window_ns: int) -> dict[str, int | float | None]:
    """The columns of trials.parquet. `window_ns`: with the time to make durable what was written."""
    output, storage_ns = int(talked.output_tokens.sum()), int(talked.storage_ns.sum())
    hits = talked.hits.sum(axis=1)
    latency_ns, order_ns = int(talked.latency_ns.sum()), int(talked.order_ns.sum())
    met = [row["qos_met"] for row in user_rows(talked) if row["qos_met"] is not None]
    return {
        **{
            f"{name}_hit_rate": int(hits[kind]) / int(talked.lookups[kind]) if talked.lookups[kind] else None
            for kind, name in enumerate(KINDS)
            if kind != NEW
        },
        "asked_tokens": int(talked.prompt_tokens.sum()),
        "generated_tokens": output,
        "wall_tokens_per_s": output * 1e9 / window_ns if window_ns > 0 else None,
        "storage_time_ns": storage_ns,
        "storage_tokens_per_s": output * 1e9 / storage_ns if storage_ns else None,
        "order_wait_share": order_ns / latency_ns if latency_ns else None,
        "qos_targets": len(met),
        "qos_missed": met.count(False),
    }


def user_rows(talked: Talked) -> Iterator[dict[str, Any]]:
    """Rows of users.parquet, in the order of the mix."""
    for place, (name, targets) in enumerate(zip(talked.mix, talked.targets_ns, strict=True)):
        own = talked.users_of == place
        latency = talked.latency_ns[own]
        count = len(latency)
        within = [
            None if target is None or not count else float((latency <= target).sum()) / count for target in targets
        ]
        asked = [(share, part) for share, part in zip(within, (0.95, 0.99), strict=True) if share is not None]
        yield {
            "users": name,
            "requests": count,
            "prompt_tokens": int(talked.prompt_tokens[own].sum()),
            "output_tokens": int(talked.output_tokens[own].sum()),
            "request_latency_mean_ns": float(latency.mean()) if count else None,
            **_percentiles("request_latency", latency, ("p50", "p95", "p99", "p999", "p9999")),
            "request_latency_max_ns": int(latency.max()) if count else None,
            **_percentiles("request_wait", talked.wait_ns[own], ("p50", "p95", "p99")),
            **_percentiles("request_storage", talked.storage_ns[own], ("p50", "p95", "p99")),
            **_percentiles("order_wait", talked.order_ns[own], ("p50", "p95", "p99")),
            "order_wait_share": float(talked.order_ns[own].sum()) / total if (total := int(latency.sum())) else None,
            "target_p95_ns": targets[0],
            "target_p99_ns": targets[1],
            "within_p95_share": within[0],
            "within_p99_share": within[1],
            "qos_met": all(share >= part for share, part in asked) if asked else None,
        }


def found_rows(talked: Talked, levels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of found.parquet: of each kind that was looked up, all together and each level."""
    for kind, name in enumerate(KINDS):
        lookups = int(talked.lookups[kind])
        if not lookups:
            continue
        for level, tier in enumerate((None, *levels)):
            hits = int(talked.hits[kind].sum() if tier is None else talked.hits[kind][level - 1])
            yield {
                "kind": name,
                "tier": tier,
                "level": None if tier is None else level - 1,
                "lookups": lookups,
                "hits": hits,
                "hit_rate": hits / lookups,
            }


def occupancy_rows(
    readings: Sequence[tuple[int, tuple[int, ...]]], levels: Sequence[str], start_ns: int, stride_bytes: int
) -> Iterator[dict[str, Any]]:
    """Rows of occupancy.parquet."""
    for time_ns, held in readings:
        for level, (tier, blocks) in enumerate(zip(levels, held, strict=True)):
            yield {
                "time_ns": max(0, time_ns - start_ns),
                "tier": tier,
                "level": level,
                "blocks": blocks,
                "occupancy_bytes": blocks * stride_bytes,
            }


def _percentiles(name: str, values: Int64s, which: Sequence[str]) -> dict[str, int | None]:
    histogram = Histogram()
    if len(values):
        histogram.add(np.asarray(values, np.int64))
    found = {f"{name}_{each}_ns": histogram.percentile(float(PERCENTILES[each])) for each in which}
    # A histogram counts no time at all as 1 ns.
    return {column: 0 if value == 1 and not histogram.smallest else value for column, value in found.items()}
