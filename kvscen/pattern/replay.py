"""The pattern `replay`: the requests of a trace, once each, sized by a model's KV or by hand."""

from __future__ import annotations

from collections.abc import Container, Iterator
from fractions import Fraction
from typing import Literal, cast

from kvscen.language.blocks import SweepSettings, TransferSettings
from kvscen.language.replay import ReplaySettings
from kvscen.language.schema import Finding
from kvscen.model.exact import ExactSize, exact_size
from kvscen.plan.point import Durability, ModelBlock, Work
from kvscen.plan.replay import Replay
from kvscen.plan.traces import TraceRead
from kvscen.trace.requests import Requests

_LARGEST = 2**63 - 1


def work(
    pattern: ReplaySettings, model: ModelBlock | None, sweep: SweepSettings, read: TraceRead, written: Container[str]
) -> tuple[Work | None, tuple[Finding, ...]]:
    """The numbers of one point, None where there is an error, and what is to be said about them. All settings are
    completed ones, `read` is without problems; `written` are the settings that the sweep writes."""
    assert read.requests is not None and sweep.sync_timeout_ns is not None
    wrong = tuple(_not_for_a_replay(sweep, written))
    if wrong:
        return None, wrong
    requests = read.requests
    block = pattern.block_bytes if model is None else _block_bytes(model, requests.block_tokens)
    if isinstance(block, tuple):
        return None, block
    assert block is not None, "a checked pattern"
    if max(requests.distinct, len(requests.keys)) * block > _LARGEST:
        at = "block" if model is None else "model"
        return None, (Finding("KVS107", "the blocks of the trace have more than 2^63 - 1 bytes", at),)
    numbers = Work(
        op="mixed",
        block_bytes=block,
        batch=1,
        keys=requests.distinct,
        # What is read the cache decides; a tier that keeps all reads what came before.
        read_share=1 - Fraction(requests.distinct, len(requests.keys)),
        depth=pattern.depth,
        durability=cast(Durability, sweep.durability),
        timeout_ns=sweep.timeout_ns,
        sync_timeout_ns=sweep.sync_timeout_ns,
        verify=cast(Literal["full", "off"], sweep.verify),
        seed=sweep.seed,
        replay=Replay(
            read.path,
            len(requests),
            len(requests.keys),
            requests.block_tokens,
            read.digest,
            pattern.page_tokens,
            pattern.users,
            pattern.speed,
            _lasts_ns(requests, pattern.speed),
            pattern.prefill_tokens_per_s,
        ),
    )
    return numbers, ()


def _lasts_ns(requests: Requests, speed: Fraction | None) -> int | None:
    if speed is None or requests.arrival_ns is None:
        return None
    return int(int(requests.arrival_ns[-1]) / speed)


def _not_for_a_replay(sweep: SweepSettings, written: Container[str]) -> Iterator[Finding]:
    """Settings of a sweep that mean nothing where the trace says what is done, from an empty cache on."""
    asked = {
        "warmup": "warmup" in written and sweep.warmup_ns > 0,
        "time": "time" in written,
        "operations": "operations" in written,
        "until": sweep.until != "time",
        "precondition": sweep.precondition > 0,
        "ceiling": sweep.ceiling != "none",
    }
    for setting, given in asked.items():
        if given:
            yield Finding(
                "KVS114",
                f"`{setting}` has no meaning for a `replay`, which does each request of its trace once, from an empty "
                "cache on",
                setting,
                f"leave `{setting}` out, or give the replay a sweep of its own; the pattern's `requests` takes fewer",
            )


def _block_bytes(model: ModelBlock, tokens: int) -> int | tuple[Finding, ...]:
    """What one rank keeps of `tokens` tokens, all layers of its stage together."""
    page = TransferSettings(
        model=model.name, access="block", page_tokens=tokens, prompt_tokens=tokens, requests=1, op="read"
    ).complete()
    size = exact_size(page, model)
    if not isinstance(size, ExactSize):
        return size
    if size.batch > 1:
        return (
            Finding(
                "KVS207",
                f"the layers of `{model.name}` keep different tokens, so that one block cannot hold a page of all",
                "model",
                f"say what is moved for a block of {tokens:,} tokens: `block = ...` instead of `model`",
            ),
        )
    return size.block_bytes
