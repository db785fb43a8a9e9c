"""What a pattern of the type `matrix` may contain: traffic from rank to rank, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import attrs

from kvscen.language.schema import (
    Count,
    Duration,
    Finding,
    ListOf,
    OneOrMore,
    PathText,
    Reference,
    TokenRate,
    Tokens,
    Word,
    setting,
)

_PAGE_TOKENS = 16
#: More workers than any one machine has a use for.
MOST_RANKS = 1024
MOST_STEPS = 10_000

#: What has a meaning only where the traffic is worked out from a model, and its default.
_OF_MODEL: dict[str, Any] = {
    "prefill_tp": 1,
    "prefill_pp": 1,
    "prefill_workers": 1,
    "decode_tp": 1,
    "decode_pp": 1,
    "decode_workers": 1,
    "page_tokens": _PAGE_TOKENS,
    "batch": 1,
}


@attrs.frozen
class MatrixSettings:
    """Traffic from rank to rank, in steps: of files with a matrix for each step, or the KV that prefill hands to
    decode.

    A rank is a worker. In each step it writes to the memory of the others what the matrix says; a step begins when all
    of its senders are there, and ends with the last transfer of the last of them.
    """

    files: tuple[str, ...] | None = setting(
        ListOf(PathText()),
        default=None,
        help="a file for each step, relative to the scenario's: row i, column j is what rank i sends to rank j "
        "(`0 1.5M 4K`; K, M and G are powers of 1024)",
    )
    model: str | None = setting(
        Reference("model"),
        default=None,
        help="whose KV goes from prefill to decode; it has no `tp` and `pp` of its own",
    )
    prefill_tp: int | None = setting(
        Count(), default=None, help="with a model: ranks that share a layer in prefill (default: 1)"
    )
    prefill_pp: int | None = setting(
        Count(), default=None, help="with a model: pipeline stages of prefill (default: 1)"
    )
    prefill_workers: int | None = setting(
        Count(),
        default=None,
        help="with a model: prefill workers of tp x pp ranks each, which take the steps in turn (default: 1)",
    )
    decode_tp: int | None = setting(
        Count(), default=None, help="with a model: ranks that share a layer in decode (default: 1)"
    )
    decode_pp: int | None = setting(Count(), default=None, help="with a model: pipeline stages of decode (default: 1)")
    decode_workers: int | None = setting(
        Count(),
        default=None,
        help="with a model: decode workers of tp x pp ranks each, which take the steps in turn (default: 1)",
    )
    page_tokens: int | None = setting(
        Tokens(minimum=1),
        default=None,
        help="with a model: tokens of one page; the last is sent whole (default: 16 tokens)",
    )
    prompt_tokens: tuple[int, ...] | None = setting(
        OneOrMore(Tokens(minimum=1)),
        default=None,
        help="with a model: tokens of a request's prompt; of a list the requests take one each, in turn",
    )
    prompt_spread_tokens: int | None = setting(
        Tokens(minimum=1),
        default=None,
        help="with a model: standard deviation of prompts that are drawn, by the sweep's `seed`, from a normal "
        "distribution with the mean `prompt`",
    )
    prompt_least_tokens: int | None = setting(
        Tokens(minimum=1), default=None, help="with `prompt_spread`: shorter prompts become so long (default: 1 token)"
    )
    prompt_most_tokens: int | None = setting(
        Tokens(minimum=1), default=None, help="with `prompt_spread`: longer prompts become so long (default: no limit)"
    )
    requests: int | None = setting(
        Count(), default=None, help="with a model: requests in all (default: one for each `prompt`)"
    )
    batch: int | None = setting(
        Count(), default=None, help="with a model: requests whose KV goes over in one step (default: 1)"
    )
    mode: Literal["isolated", "sequence"] = setting(
        Word("isolated", "sequence"),
        default="sequence",
        help="`isolated`: each step again and again, alone; `sequence`: all steps in a row, where steps without a "
        "sender in common overlap",
    )
    compute_ns: tuple[int, ...] | None = setting(
        OneOrMore(Duration()),
        default=None,
        help="in a sequence: how long the senders of a step compute before it; of a list each step takes one "
        "(default: 0 s)",
    )
    prefill_speed_tokens_per_s: Fraction | None = setting(  # noqa: RUF009 - an attrs field
        TokenRate(minimum=Fraction(1)),
        default=None,
        help="with a model, in a sequence: they compute as long as a prefill worker of this speed needs for the "
        "prompts of the step",
    )

    def check(self) -> Iterator[Finding]:
        if self.files is None and self.model is None:
            yield Finding(
                "KVS113",
                "the pattern does not say what is sent",
                None,
                'add `files = ["step0.txt"]`, or `model = ...` and `prompt = 1000 tokens`',
            )
            return
        if self.model is None:
            yield from self._without_model()
            return
        if self.files is not None:
            yield Finding("KVS203", "`files` and `model` both say what is sent", "files", "leave out one of the two")
        if self.prompt_tokens is None:
            yield Finding(
                "KVS113",
                "`prompt` is missing: how many tokens does a request have?",
                "model",
                "add `prompt = 1000 tokens`",
            )
        yield from self._prompts()
        if self.compute_ns is not None and self.prefill_speed_tokens_per_s is not None:
            yield Finding(
                "KVS114",
                "`compute` and `prefill_speed` both say how long the senders compute",
                "prefill_speed",
                "keep one of the two",
            )

    def _without_model(self) -> Iterator[Finding]:
        given = [
            *_OF_MODEL,
            *("prompt_tokens", "prompt_spread_tokens", "prompt_least_tokens", "prompt_most_tokens", "requests"),
            "prefill_speed_tokens_per_s",
        ]
        for field in given:
            if getattr(self, field) is not None:
                name = field.removesuffix("_per_s").removesuffix("_tokens")
                yield Finding(
                    "KVS203",
                    f"`{name}` describes the KV of a model, and this pattern has none",
                    name,
                    f"leave out `{name}`, or name a `model` instead of `files`",
                )

    def _prompts(self) -> Iterator[Finding]:
        least, most = self.prompt_least_tokens, self.prompt_most_tokens
        if self.prompt_spread_tokens is None:
            return
        if self.prompt_tokens is not None and len(self.prompt_tokens) > 1:
            yield Finding(
                "KVS114",
                "`prompt_spread` draws prompts around one `prompt`, and a list says each of them",
                "prompt_spread",
                "leave out `prompt_spread`, or give `prompt` one value",
            )
        if least is not None and most is not None and least > most:
            show = Tokens().show
            yield Finding(
                "KVS114",
                f"no prompt is at least {show(least)} and at most {show(most)} long",
                "prompt_most",
                "let `prompt_least` be the smaller one",
            )

    def complete(self) -> MatrixSettings:
        done: dict[str, Any] = {}
        if self.model is not None:
            assert self.prompt_tokens is not None, "a checked pattern"
            done = {name: value for name, value in _OF_MODEL.items() if getattr(self, name) is None}
            if self.requests is None:
                done["requests"] = len(self.prompt_tokens)
            if self.prompt_spread_tokens is None:
                done |= dict.fromkeys(("prompt_least_tokens", "prompt_most_tokens"))
            elif self.prompt_least_tokens is None:
                done["prompt_least_tokens"] = 1
        if self.mode == "isolated":
            done |= dict.fromkeys(("compute_ns", "prefill_speed_tokens_per_s"))
        elif self.compute_ns is None and self.prefill_speed_tokens_per_s is None:
            done["compute_ns"] = (0,)
        return attrs.evolve(self, **done)
