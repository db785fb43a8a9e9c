"""A replay or a script of conversations in plain numbers, as it travels to the worker, which reads the trace or draws
the script again."""

from __future__ import annotations

from fractions import Fraction

import attrs

from kvscen.plan.talk import Talk


@attrs.frozen
class Replay:
    """The first `requests` requests of the trace at `path`, or those of `talk`, which look up `lookups` blocks of
    `block_tokens` tokens; with those that they write without looking them up, blocks are moved `operations` times.

    Of a trace one of `users` (closed loop: so many requests under way) and `speed` (by the trace's times, so many times
    as fast) is set. Of a talk `users` is how many converse, and `rate_per_s` is set where their requests become due
    whatever is under way. With `lasts_ns` it takes so long at least. `page_tokens` is the size of a block as the
    scenario gives it; `digest` is that of the requests, so that a trace that was changed since the plan was made is not
    taken for the planned one. What is not found is computed at `prefill_tokens_per_s`, where that is known.
    """

    path: str
    requests: int
    lookups: int
    operations: int
    block_tokens: int
    digest: str
    page_tokens: int | None = None
    users: int | None = None
    speed: Fraction | None = None
    lasts_ns: int | None = None
    rate_per_s: Fraction | None = None
    arrival: str | None = None
    talk: Talk | None = None
    prefill_tokens_per_s: Fraction | None = None
