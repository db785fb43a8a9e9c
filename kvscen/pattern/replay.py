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
    assert read.requests is not None
    wrong = tuple(not_for_requests(sweep, written, "`replay`", "its trace"))
    if wrong:
        return None, wrong
    requests = read.requests
    block = pattern.block_bytes if model is None else block_bytes_of(model, requests.block_tokens)
    if isinstance(block, tuple):
        return None, block
    assert block is not None, "a checked pattern"
    replay = Replay(
        read.path,
        len(requests),
        len(requests.keys),
        len(requests.keys),
        requests.block_tokens,
        read.digest,
        pattern.page_tokens,
        pattern.users,
        pattern.speed,
        _lasts_ns(requests, pattern.speed),
        prefill_tokens_per_s=pattern.prefill_tokens_per_s,
    )
    return work_of(requests, replay, block, pattern.depth, sweep)


def work_of(
    requests: Requests, replay: Replay, block_bytes: int, depth: int, sweep: SweepSettings
) -> tuple[Work | None, tuple[Finding, ...]]:
    """The numbers of a point that runs requests which are known before."""
    assert sweep.sync_timeout_ns is not None, "completed settings"
    if max(requests.distinct, len(requests.keys)) * block_bytes > _LARGEST:
        return None, (Finding("KVS107", "the blocks of all requests have more than 2^63 - 1 bytes"),)
    stored = 0 if requests.script is None else requests.script.stored
    numbers = Work(
        op="mixed",
        block_bytes=block_bytes,
        batch=1,
        keys=requests.distinct,
        # What is read the cache decides; a tier that keeps all reads what came before.
        read_share=1 - Fraction(requests.distinct - stored, len(requests.keys)),
        depth=depth,
        durability=cast(Durability, sweep.durability),
        timeout_ns=sweep.timeout_ns,
        sync_timeout_ns=sweep.sync_timeout_ns,
        verify=cast(Literal["full", "off"], sweep.verify),
        seed=sweep.seed,
        replay=replay,
    )
    return numbers, ()


def _lasts_ns(requests: Requests, speed: Fraction | None) -> int | None:
    if speed is None or requests.arrival_ns is None:
        return None
    return int(int(requests.arrival_ns[-1]) / speed)


def not_for_requests(sweep: SweepSettings, written: Container[str], pattern: str, whose: str) -> Iterator[Finding]:
    """Settings of a sweep that mean nothing where it is known before what is done, from an empty cache on."""
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
                f"`{setting}` has no meaning for a {pattern}, which does each request of {whose} once, from an empty "
                "cache on",
                setting,
                f"leave `{setting}` out: how much is done the pattern's `requests` says. Other patterns that need it "
                "can have a sweep of their own",
            )


def block_bytes_of(model: ModelBlock, tokens: int) -> int | tuple[Finding, ...]:
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
