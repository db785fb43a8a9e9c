"""The pattern `conversations`: requests of users, drawn from the seed, sized by a model's KV or by hand."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from kvscen.language.blocks import SweepSettings
from kvscen.language.conversations import DEFAULT_MIX, USER_TYPES, ConversationsSettings
from kvscen.language.schema import Finding
from kvscen.pattern.replay import block_bytes_of, not_for_requests, work_of
from kvscen.pattern.script import TooMany, write_script
from kvscen.plan.point import ModelBlock, Work
from kvscen.plan.replay import Replay
from kvscen.plan.talk import Talk, Turns, Users
from kvscen.trace.requests import STORE, Requests


def usual_mix() -> tuple[Users, ...]:
    """Who asks where a pattern does not say."""
    return tuple(Users(name, USER_TYPES[name]().complete()) for name in DEFAULT_MIX)


def work(
    pattern: ConversationsSettings,
    users: Sequence[Users],
    model: ModelBlock | None,
    sweep: SweepSettings,
    turns: Turns | None,
    written: Container[str],
) -> tuple[Work | None, tuple[Finding, ...]]:
    """The numbers of one point, None where there is an error, and what is to be said about them. All settings are
    completed ones; `written` are the settings that the sweep writes."""
    wrong = tuple(not_for_requests(sweep, written, "pattern of `conversations`", "its users"))
    if wrong:
        return None, wrong
    block = pattern.block_bytes if model is None else block_bytes_of(model, pattern.page_tokens)
    if isinstance(block, tuple):
        return None, block
    assert block is not None, "a checked pattern"
    talk = Talk(pattern, tuple(users) or usual_mix(), sweep.seed, block, turns)
    try:
        requests = write_script(talk)
    except TooMany as error:
        return None, (Finding("KVS107", str(error), "requests", "take fewer `requests`, or a larger `page`"),)
    script = requests.script
    assert script is not None
    replay = Replay(
        path="",
        requests=script.requests,
        lookups=int(np.diff(requests.offsets)[script.action != STORE].sum()),
        operations=len(requests.keys),
        block_tokens=requests.block_tokens,
        digest=requests.digest(),
        page_tokens=pattern.page_tokens,
        users=pattern.users,
        lasts_ns=_lasts_ns(requests) or None,
        rate_per_s=pattern.rate_per_s,
        arrival=pattern.arrival,
        prefill_tokens_per_s=pattern.prefill_tokens_per_s,
        talk=talk,
    )
    return work_of(requests, replay, block, pattern.depth, sweep)


def _lasts_ns(requests: Requests) -> int:
    """How long the requests take where storage takes no time."""
    script = requests.script
    assert script is not None
    # Nobody waits for what comes after a user's last step.
    gaps = script.gap_ns.copy()
    last = np.full(script.users, -1)
    last[script.user] = np.arange(len(requests))
    gaps[last] = 0
    alone = np.zeros(script.users, np.int64)
    np.add.at(alone, script.user, gaps)
    return int(max(alone.max(initial=0), script.due_ns.max(initial=0)))
