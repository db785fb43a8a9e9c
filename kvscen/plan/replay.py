"""A replay in plain numbers, as it travels to the worker, which reads the trace again."""

from __future__ import annotations

from fractions import Fraction

import attrs


@attrs.frozen
class Replay:
    """The first `requests` requests of the trace at `path`, which look up `lookups` blocks of `block_tokens` tokens.

    One of `users` (closed loop: so many requests under way) and `speed` (by the trace's times, so many times as fast)
    is set; with `speed` the last request comes `lasts_ns` after the first. `page_tokens` is the size of a block as
    the scenario gives it; `digest` is that of the requests, so that a trace that was changed since the plan was made
    is not taken for the planned one. What is not found is computed at `prefill_tokens_per_s`, where that is known.
    """

    path: str
    requests: int
    lookups: int
    block_tokens: int
    digest: str
    page_tokens: int | None = None
    users: int | None = None
    speed: Fraction | None = None
    lasts_ns: int | None = None
    prefill_tokens_per_s: Fraction | None = None
