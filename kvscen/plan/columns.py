"""What the tables and `kvscen plan` say about a point before it runs. Names are those of trials.parquet."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from kvscen.language.cpus import show_cpus
from kvscen.language.schema import show_settings
from kvscen.language.values import TIME, Quantity, Symbol, Value, format_value
from kvscen.plan.point import Point, Tier
from kvscen.plan.replay import Replay

Cell: TypeAlias = "int | float | str | bool | None"

#: Where ranks send to each other there is no block, and nothing that a block is drawn from.
_NOT_OF_TRAFFIC: dict[str, Cell] = dict.fromkeys(
    ("block_bytes", "batch", "requests", "keys", "read_share", "order", "wait", "until", "durability", "ceiling")
)


def describe(point: Point) -> dict[str, Cell]:
    """The fixed columns that are known before the run. Raw numbers carry their unit in the name."""
    found = _common(point)
    if point.work.traffic is not None:
        found |= _NOT_OF_TRAFFIC
    if point.work.replay is not None:
        found |= _of_replay(point, point.work.replay)
    return found


def _of_replay(point: Point, replay: Replay) -> dict[str, Cell]:
    """Requests that are known before have no batches, and no order but their own; how much they read from a cache, its
    policy decides."""
    share = None if point.tier.levels else float(point.work.read_share)
    return {
        **dict.fromkeys(("batch", "order", "wait", "until", "ceiling")),
        "requests": replay.requests,
        "page_tokens": replay.block_tokens,
        "prompt_tokens": None,
        "rate_per_s": None if replay.rate_per_s is None else float(replay.rate_per_s),
        "arrival": replay.arrival,
        "read_share": share,
    }


def _common(point: Point) -> dict[str, Cell]:
    work, traffic, replay = point.work, point.work.traffic, point.work.replay
    return {
        "model": point.model.name if point.model else None,
        "pattern": point.pattern.name,
        "tier": point.tier.name,
        "driver": point.tier.driver,
        "op": work.op,
        "traffic_mode": None if traffic is None else traffic.mode,
        "traffic_steps": None if traffic is None else len(traffic.steps),
        "traffic_transfers": None if traffic is None else traffic.transfers,
        "traffic_bytes": None if traffic is None else traffic.nbytes,
        "trace_digest": None if replay is None else replay.digest,
        "trace_lookups": None if replay is None else replay.lookups,
        "users": None if replay is None else replay.users,
        "speed": None if replay is None or replay.speed is None else float(replay.speed),
        "prefill_tokens_per_s": _prefill(replay),
        "block_bytes": work.block_bytes,
        "batch": work.batch,
        "depth": work.depth,
        "threads": work.threads,
        "processes": work.processes,
        "requests": work.requests,
        "page_tokens": getattr(point.pattern.settings, "page_tokens", None),
        "prompt_tokens": _prompt(point.pattern.settings),
        "keys": work.keys,
        "working_set_bytes": work.working_set_bytes,
        "read_share": float(work.read_share),
        "order": work.order,
        "stride": work.stride,
        "skew": None if work.skew is None else float(work.skew),
        "wait": work.wait,
        "cpus": None if work.cpus is None else show_cpus(work.cpus),
        "numa_node": work.numa_node,
        "rate_per_s": None if work.rate_per_s is None else float(work.rate_per_s),
        "arrival": None if work.rate_per_s is None else work.arrival,
        "memory": work.memory,
        "warmup_ns": work.warmup_ns,
        "time_ns": work.time_ns,
        "operations_planned": work.operations,
        "until": work.until,
        "cap_ns": work.cap_ns,
        "precondition": work.precondition,
        "durability": work.durability,
        "ceiling": work.ceiling,
        "timeout_ns": work.timeout_ns,
        "verify": work.verify,
        "seed": work.seed,
        "trials": point.trials,
    }


def _prefill(replay: Replay | None) -> float | None:
    return None if replay is None or replay.prefill_tokens_per_s is None else float(replay.prefill_tokens_per_s)


def _prompt(pattern: object) -> int | None:
    """Tokens of each request's prompt; None where they differ, or there are none."""
    prompt = getattr(pattern, "prompt_tokens", None)
    if not isinstance(prompt, tuple):
        return prompt
    return prompt[0] if len(prompt) == 1 and getattr(pattern, "prompt_spread_tokens", None) is None else None


def axes(point: Point) -> dict[str, Cell]:
    """The axes that the point reaches, by their path: quantities as numbers in bytes, nanoseconds, tokens or ones
    (shares and what is not whole as floats), words and texts as text."""
    return {path: typed(value) for path, value in point.axes.items()}


def typed(value: Value) -> Cell:
    """A value as a cell of a table."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Quantity):
        number: Fraction = value.value * 10**9 if value.dimension == TIME else value.value
        return number.numerator if number.denominator == 1 and not value.percent else float(number)
    if isinstance(value, Symbol):
        return value.name
    return format_value(value)


def settings(point: Point) -> dict[str, str]:
    """Every setting that the point reaches, `block.setting` -> its value as the language spells it; the sweep's under
    its name."""
    shown: dict[str, str] = {}

    def add(block: str, values: object) -> None:
        shown.update({f"{block}.{name}": text for name, text in show_settings(values).items()})

    def add_tier(tier: Tier) -> None:
        add(tier.name, tier.settings)
        for level in tier.levels:
            add_tier(level)

    add(point.sweep, point.sweep_settings)
    if point.work.replay is not None:
        for name in ("warmup", "time"):  # its requests have their own beginning and end
            shown.pop(f"{point.sweep}.{name}", None)
    add(point.pattern.name, point.pattern.settings)
    if point.model is not None:
        for model in (point.model, *point.model.parts):
            add(model.name, model.settings)
    for users in point.users:
        add(users.name, users.settings)
    add_tier(point.tier)
    return shown
