"""From the times of all ranks to a row for each step. All ranks are on one machine and read one clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from kvscen.execute.messages import Measured, StepTimes
from kvscen.plan.traffic import Step, Traffic
from kvscen.results.measures import OPERATIONS_ABOVE, PERCENTILES

_SHOWN = ("p90", "p99")


def step_rows(traffic: Traffic, parts: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    """A row for each step; `parts` are the ranks', by rank."""
    for number, step in enumerate(traffic.steps):
        times = {rank: own for rank, part in enumerate(parts) for own in part.steps if own.step == number}
        row = {
            "step": number,
            "bytes": step.nbytes,
            "transfers": len(step.flows),
            "senders": len(step.senders),
            "receivers": len(step.receivers),
            "compute_ns": step.compute_ns if traffic.mode == "sequence" else None,
        }
        yield row | (_measured(step, [times[rank] for rank in step.senders]) if set(times) >= set(step.senders) else {})


def _measured(step: Step, times: Sequence[StepTimes]) -> dict[str, Any]:
    """`times`: of its senders, in their order. A pass in which a transfer failed has no latency."""
    passes = min(len(own.start_ns) for own in times)
    start = np.stack([own.start_ns[:passes] for own in times])
    end = np.stack([own.end_ns[:passes] for own in times])
    errors = np.stack([own.errors[:passes] for own in times])
    row: dict[str, Any] = {"passes": passes, "errors": int(errors.sum())}
    good = errors.sum(axis=0) == 0
    start, end = start[:, good], end[:, good]
    if not start.shape[1]:
        return row
    latency = end.max(axis=0) - start.min(axis=0)
    sent = np.array([sum(f.nbytes for f in step.flows if f.sender == rank) for rank in step.senders], np.float64)
    own_rate = (sent[:, None] * 1e9 / np.maximum(end - start, 1)).mean(axis=0)
    median = float(np.median(latency))
    row |= {
        "latency_median_ns": round(median),
        "latency_mean_ns": float(latency.mean()),
        "latency_min_ns": int(latency.min()),
        "latency_max_ns": int(latency.max()),
        "start_spread_ns": round(float(np.median(start.max(axis=0) - start.min(axis=0)))),
        "throughput_bytes_per_s": step.nbytes * 1e9 / max(median, 1.0),
        "sender_bytes_per_s": float(np.median(own_rate)),
    }
    return row | {f"latency_{name}_ns": _percentile(latency, PERCENTILES[name]) for name in _SHOWN}


def _percentile(values: npt.NDArray[np.int64], share: Fraction) -> int | None:
    """The value below which this share lies; None where fewer than OPERATIONS_ABOVE lie above it."""
    if len(values) * (1 - share) < OPERATIONS_ABOVE:
        return None
    return int(np.sort(values)[int(len(values) * share)])
