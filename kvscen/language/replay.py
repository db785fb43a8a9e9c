"""What a pattern of the type `replay` may contain: the requests of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import attrs

from kvscen.language.drawn import TraceText
from kvscen.language.schema import Count, Finding, Number, Reference, Size, TokenRate, Tokens, setting
from kvscen.language.values import TraceFile

DEFAULT_DEPTH = 32
DEFAULT_USERS = 1


def block_findings(model: str | None, block_bytes: int | None) -> Iterator[Finding]:
    """What is wrong where not exactly one of the two says how large a block is."""
    if model is not None and block_bytes is not None:
        yield Finding(
            "KVS203",
            "`block` and `model` both say how large a block is",
            "block",
            "leave out `block`, which follows from the model, or `model`",
        )
    elif model is None and block_bytes is None:
        yield Finding(
            "KVS113",
            "the pattern does not say how large a block is",
            None,
            "add `model = ...`, or plainly `block = 64 KiB`",
        )


@attrs.frozen
class ReplaySettings:
    """The requests of a trace, once each, in their order, from an empty cache on.

    A request looks up all of its blocks, reads those that are found and writes the others. In a cache (`tiered`) its
    policy decides what is kept; any other tier keeps every block that was written.
    """

    trace: TraceFile = setting(  # noqa: RUF009 - an attrs field
        TraceText(), help="the requests; `kvscen import trace` lists the formats"
    )
    model: str | None = setting(
        Reference("model"), default=None, help="whose KV the blocks hold: a block has that of its tokens"
    )
    block_bytes: int | None = setting(Size(minimum=1), default=None, help="without a model: the bytes of a block")
    page_tokens: int | None = setting(
        Tokens(minimum=1),
        default=None,
        help="tokens of a block, where the trace does not tell (default: as the trace says)",
    )
    requests: int | None = setting(Count(), default=None, help="only the first so many (default: all)")
    users: int | None = setting(
        Count(),
        default=None,
        help="requests under way at a time: the next one begins when one is done (default: 1, without `speed`)",
    )
    speed: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        Number(), default=None, help="requests begin by the trace's times, so many times as fast"
    )
    depth: int = setting(
        Count(), default=DEFAULT_DEPTH, help="operations in flight at a time, within what the driver can"
    )
    prefill_tokens_per_s: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        TokenRate(minimum=Fraction(1)),
        default=None,
        help="how fast tokens are computed that were not found: gives a time to first token",
    )

    def check(self) -> Iterator[Finding]:
        yield from block_findings(self.model, self.block_bytes)
        if self.users is not None and self.speed is not None:
            yield Finding(
                "KVS114",
                "`users` and `speed` both say when a request begins",
                "speed",
                "keep `users` for a closed loop, or `speed` to follow the trace's times",
            )
        if self.speed == 0:
            yield Finding("KVS105", "at a speed of zero no request would come", "speed", "write a speed such as `10`")

    def complete(self) -> ReplaySettings:
        done: dict[str, Any] = {}
        if self.speed is None and self.users is None:
            done["users"] = DEFAULT_USERS
        return attrs.evolve(self, **done)
