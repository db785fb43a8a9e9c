"""What a plan's points would give whose requests are known before: without moving a byte, starting a worker or leaving
a file.

A point runs in a session of this process as it would in a worker. On simulated tiers it is the run itself, with all of
its figures. Of real tiers only what they decide can be known: what stands in for them does that and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from kvscen.execute import messages
from kvscen.execute.opening import targets_of
from kvscen.execute.session import Session
from kvscen.execute.summary import summarise
from kvscen.plan.columns import Cell
from kvscen.plan.point import Plan, Point, Tier, Work
from kvscen.plugin.contract import DriverError
from kvscen.plugin.registry import Registry
from kvscen.predict.errors import PredictionError
from kvscen.predict.untimed import TARGET, Bookkeeping
from kvscen.results.record import Status
from kvscen.trace.requests import KINDS, NEW

#: Measures that hold where nothing is moved.
DECIDED = (
    *("lookups", "hits", "misses", "hit_rate", "prefix_hits", "prefix_hit_rate", "sequence"),
    *(f"{kind}_hit_rate" for kind in KINDS if kind != KINDS[NEW]),
)
#: And those that hold where times are computed, besides.
TIMED = (
    "window_ns",
    "throughput_bytes_per_s",
    "request_rate_per_s",
    "logical_bytes",
    *("wall_tokens_per_s", "storage_tokens_per_s", "order_wait_share", "qos_targets", "qos_missed"),
    *(f"{name}_{p}_ns" for name in ("request_latency", "load_latency") for p in ("p50", "p99")),
    *(f"ttft_{p}_ns" for p in ("mean", "p50", "p99")),
)
_PAGE_BYTES = 4096
# Operations at a time, where none takes any.
_MANY = 1024


@attrs.frozen
class Forecast:
    """What a point would give. `measures` are columns of trials.parquet, `tiers` rows of tiers.parquet; where `timed`
    is false they are only what is decided. A point that does not end as `ok` has neither."""

    point: Point
    timed: bool
    status: Status
    reason: str = ""
    measures: Mapping[str, Cell] = attrs.field(factory=dict)
    tiers: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def levels(self) -> Sequence[Mapping[str, Any]]:
        return [row for row in self.tiers if row["to_tier"] is None]

    @property
    def edges(self) -> Sequence[Mapping[str, Any]]:
        return [row for row in self.tiers if row["to_tier"] is not None]


def to_forecast(plan: Plan) -> Sequence[Point]:
    """The points whose requests are known before. Raises PredictionError where there is none."""
    points = [point for point in plan.points if point.work.replay is not None]
    if not points:
        raise PredictionError(
            f"no point of {plan.scenario} has requests that look up blocks, so there is nothing to find",
            "predict a scenario with a pattern `replay`, or a trace: kvscen predict TRACE",
        )
    return points


def forecast(points: Sequence[Point], registry: Registry) -> Iterator[Forecast]:
    """Each point in turn, as soon as it is there."""
    known: dict[str, Forecast] = {}
    for point in points:
        same = known.get(point.id)
        yield same or known.setdefault(point.id, forecast_point(point, registry))


def forecast_point(point: Point, registry: Registry) -> Forecast:
    timed = point.tier.virtual
    try:
        tier, targets = (point.tier, targets_of(point.tier, registry)) if timed else _stand_in(point, registry)
        opened, measured = _run(point.id, tier, point.work if timed else _at_once(point.work), targets)
    except DriverError as error:
        return Forecast(point, timed, "error", f"{error}; {error.remedy}" if error.remedy else str(error))
    summary = summarise(point, opened, [measured], None)
    if summary.status != "ok":
        return Forecast(point, timed, summary.status, summary.reason)
    names = (*DECIDED, *TIMED) if timed else DECIDED
    measures = {name: summary.measures.get(name) for name in names}
    return Forecast(point, timed, "ok", "", measures, summary.tiers, () if timed else tuple(_notes(point.work)))


def _stand_in(point: Point, registry: Registry) -> tuple[Tier, dict[str, str]]:
    driver, tier, work = registry.driver(point.tier.driver), point.tier, point.work
    levels = [level.name for level in tier.levels]
    return Tier(tier.name, "untimed", Bookkeeping(lambda: driver.cache(tier, work), levels), virtual=True), {
        "untimed": TARGET
    }


def _at_once(work: Work) -> Work:
    """The same decisions in the same order, as fast as they come."""
    assert work.replay is not None
    replay = attrs.evolve(work.replay, users=1, speed=None, lasts_ns=None, prefill_tokens_per_s=None)
    return attrs.evolve(work, replay=replay, depth=_MANY)


def _notes(work: Work) -> Iterator[str]:
    yield "throughput, latencies and times to first token need simulated tiers: these are real, and only a run tells"
    if work.block_bytes % _PAGE_BYTES:
        yield "blocks are counted without padding: a tier that aligns them holds fewer"


def _run(
    point_id: str, tier: Tier, work: Work, targets: Mapping[str, str]
) -> tuple[messages.Opened, messages.Measured]:
    """As the conductor and a worker do it, without either. Raises DriverError."""
    session = Session()

    def ask(request: messages.Request) -> messages.Reply:
        reply = session.handle(request)
        if isinstance(reply, messages.Failed):
            raise DriverError(reply.reason)
        return reply

    try:
        opened = ask(messages.Open(point_id, tier, work, 0, targets, 0))
        ask(messages.Prepare(point_id))
        ask(messages.Arm(point_id, 0))
        measured = ask(messages.Go(0))
    finally:
        session.close()
    assert isinstance(opened, messages.Opened) and isinstance(measured, messages.Measured)
    return opened, measured
