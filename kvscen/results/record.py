"""One finished trial, as it goes into the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

Status: TypeAlias = Literal["ok", "incomplete", "hang", "error", "corrupt", "unavailable", "interrupted"]
#: What became of a trial that has this status: "the trial ...".
STATUSES: Mapping[Status, str] = {
    "ok": "ran, and every operation was right",
    "incomplete": "ended before it had done what was asked",
    "hang": "made no progress for the sweep's `timeout`, or had not made its writes durable after `sync_timeout`; its "
    "worker was killed",
    "error": "failed: an operation did, or the driver, or its worker",
    "corrupt": "brought back other bytes than were written",
    "unavailable": "could not run on this machine; no failure",
    "interrupted": "was stopped by Ctrl-C",
}


@attrs.frozen
class LatencySeries:
    """The non-empty buckets of one histogram. `unit` is block, batch or request; `phase` is latency, service, delay
    or a phase of the driver's own. `lower_ns <= value < upper_ns`.
    """

    tier: str
    operation: str
    unit: str
    phase: str
    lower_ns: tuple[int, ...]
    upper_ns: tuple[int, ...]
    count: tuple[int, ...]


@attrs.frozen
class TrialRecord:
    """`measures` maps names of columns of trials.parquet to values; what is missing is null. `timeline`, `tiers`,
    `workers`, `steps`, `users`, `found` and `occupancy` are rows of the tables of those names (without run, point and
    trial).
    """

    point_id: str
    trial: int
    trial_order: int
    status: Status
    reason: str
    started_unix_ns: int
    measures: Mapping[str, int | float | str | bool | None] = attrs.field(factory=dict)
    latency: tuple[LatencySeries, ...] = ()
    timeline: tuple[Mapping[str, Any], ...] = ()
    tiers: tuple[Mapping[str, Any], ...] = ()
    workers: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    users: tuple[Mapping[str, Any], ...] = ()
    found: tuple[Mapping[str, Any], ...] = ()
    occupancy: tuple[Mapping[str, Any], ...] = ()
