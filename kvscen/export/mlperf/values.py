"""What stands in the fields: from our columns to kv-cache.py's definitions and units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvscen.export.trial import Row, Trial

_GIB = 1 << 30
#: kv-cache.py's limit for `met`.
_LEAST_COMPLIANCE = 0.95
# What kv-cache.py looks up: it never asks for what nobody had before.
_KNOWN = ("history", "shared", "document", "reread")


def ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def gib(nbytes: int) -> float:
    return nbytes / _GIB


def share(part: tuple[int, int] | None) -> float | None:
    return None if part is None or not sum(part) else part[0] / sum(part)


def hits(*kinds: str) -> Callable[[Trial], int | None]:
    return lambda trial: None if (found := trial.looked_up(*kinds)) is None else found[0]


def misses(*kinds: str) -> Callable[[Trial], int | None]:
    return lambda trial: None if (found := trial.looked_up(*kinds)) is None else found[1]


def accesses(trial: Trial) -> tuple[int, int]:
    return trial.looked_up(*_KNOWN) or (trial.row["hits"], trial.row["lookups"] - trial.row["hits"])


def request_bytes(trial: Trial, operation: str) -> int:
    """What requests read or wrote, without padding."""
    return int(trial.row[f"{operation}s"] * trial.row["block_bytes"])


def untimed(trial: Trial, ns: float | None) -> float | None:
    """A latency that there includes generating and here does not."""
    return None if trial.token_ns else ms(ns)


def generation_ns(trial: Trial) -> int | None:
    return int(trial.row["generated_tokens"] * trial.token_ns) if trial.talks else None


def mean_ms(trial: Trial, users: Sequence[Row]) -> float | None:
    requests = sum(row["requests"] for row in users)
    if not requests:
        return None
    waited = sum(row["requests"] * (row["request_latency_mean_ns"] or 0) for row in users)
    return ms((waited + sum(row["output_tokens"] for row in users) * trial.token_ns) / requests)


def per_request_ms(trial: Trial, ns: int | None) -> float | None:
    return None if ns is None else ms(ns / trial.requests)


def storage_ms(trial: Trial, which: str) -> float | None:
    if which in ("p50", "p95", "p99"):
        return ms(trial.row[f"request_storage_{which}_ns"])
    return ms(trial.percentile("read", "request", "storage", which))


def generated_ms(trial: Trial, _: str) -> float | None:
    return 0.0 if trial.talks and not trial.token_ns else None


def met(trial: Trial, users: str) -> bool | None:
    within = compliance(trial, users)
    return None if within is None else within >= _LEAST_COMPLIANCE


def compliance(trial: Trial, users: str) -> float | None:
    within: float | None = trial.user(users)["within_p95_share"]
    return None if trial.token_ns else within


def bandwidth(trial: Trial, tier: str, operation: str) -> float | None:
    nbytes = trial.sum_of(tier, f"{operation}_bytes")
    return gib(nbytes) * 1e9 / trial.elapsed_ns if trial.elapsed_ns else None


def entries(trial: Trial, tier: str) -> int:
    return trial.sum_of(tier, "occupancy_bytes") // int(trial.row["stride_bytes"])


def storage_tokens(trial: Trial) -> int | None:
    """Blocks are moved whole, and so are tokens."""
    if trial.row["page_tokens"] is None:
        return None
    moved = trial.sum_of("storage", "read_bytes") + trial.sum_of("storage", "write_bytes")
    return moved // int(trial.row["stride_bytes"]) * int(trial.row["page_tokens"])
