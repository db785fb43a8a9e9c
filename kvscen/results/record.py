"""One finished trial, as it goes into the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

Status: TypeAlias = Literal["ok", "incomplete", "hang", "error", "corrupt", "unavailable", "interrupted"]
STATUSES: tuple[Status, ...] = ("ok", "incomplete", "hang", "error", "corrupt", "unavailable", "interrupted")


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
