"""What a pattern of the type `conversations` may contain, and blocks of the kind `users`: who asks, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from kvscen.language.drawn import Drawn, DrawnFrom, TraceText
from kvscen.language.replay import block_findings
from kvscen.language.schema import (
    Bandwidth,
    Count,
    Duration,
    Finding,
    ListOf,
    Number,
    Rate,
    Reference,
    Share,
    Size,
    TokenRate,
    Tokens,
    Word,
    setting,
)
from kvscen.language.values import NUMBER, TIME, TOKENS, Dimension, Distribution, Quantity, TraceFile

DEFAULT_USERS = 50
DEFAULT_REQUESTS = 500
DEFAULT_DEPTH = 32
DEFAULT_PAGE_TOKENS = 16
#: 20,000 tokens of Llama 3.1 8B a second.
DEFAULT_ORDER_FOR = Fraction(2500 << 20)
#: Time for a generated token (ns), by the words of `generation`: those of MLPerf Storage's kv-cache.py.
GENERATION_NS: Mapping[str, int] = {"none": 0, "fast": 2_000_000, "realistic": 30_000_000}

_TOKENS = DrawnFrom(Tokens(minimum=1, maximum=2**40))
_TURNS = DrawnFrom(Count(maximum=10_000))
_TIME = DrawnFrom(Duration())


@attrs.frozen
class Habits:
    """What users of a type do where a scenario does not say otherwise."""

    context_tokens: Drawn
    prompt_tokens: Drawn
    output_tokens: Drawn
    turns: Drawn
    think_ns: Drawn


def _between(kind: DrawnFrom, low: str, high: str, dimension: Dimension) -> Drawn:
    ends = Quantity(Fraction(low), dimension), Quantity(Fraction(high), dimension)
    return kind.convert(Distribution("uniform", ends))


def _tokens(low: int, high: int) -> Drawn:
    return _between(_TOKENS, str(low), str(high), TOKENS)


def _seconds(low: str, high: str) -> Drawn:
    return _between(_TIME, low, high, TIME)


_FIVE_TURNS = _TURNS.convert(Distribution("exponential", (Quantity(Fraction(5), NUMBER),)))
_ONE_TURN = _TURNS.convert(Quantity(Fraction(1), NUMBER))


@attrs.frozen
class UsersSettings:
    """Users who ask alike. What is not said follows from their type."""

    habits: ClassVar[Habits]

    weight: Fraction = setting(
        Number(minimum=Fraction(1, 1000)),
        default=Fraction(1),
        help="how many of the users are such, in relation to the others of the mix",
    )
    context_tokens: Drawn | None = setting(
        _TOKENS, default=None, help="the first prompt of a conversation, without the system prompt (default: by type)"
    )
    prompt_tokens: Drawn | None = setting(
        _TOKENS,
        default=None,
        help="what each later turn adds to the prompt, besides the answer before it (default: by type)",
    )
    output_tokens: Drawn | None = setting(
        _TOKENS, default=None, help="generated tokens of an answer (default: by type)"
    )
    turns: Drawn | None = setting(
        _TURNS, default=None, help="turns of a conversation; then its user begins another one (default: by type)"
    )
    think_ns: Drawn | None = setting(
        _TIME, default=None, help="from an answer to the user's next prompt (default: by type)"
    )
    system_tokens: int = setting(
        Tokens(), default=0, help="system prompt before every prompt; conversations share its whole blocks"
    )
    systems: int = setting(
        Count(), default=1, help="different system prompts, one for each conversation, all as likely"
    )
    documents: int = setting(
        Count(minimum=0),
        default=0,
        help="documents that requests retrieve from (RAG); their blocks are shared wherever they stand",
    )
    document_tokens: Drawn | None = setting(
        _TOKENS, default=None, help="with `documents`: how long each is (default: uniform(4000 tokens, 12000 tokens))"
    )
    chunk_tokens: int | None = setting(
        Tokens(minimum=1),
        default=None,
        help="with `documents`: the pieces that they are cut into (default: 512 tokens)",
    )
    retrieved: int | None = setting(
        Count(), default=None, help="with `documents`: pieces of one document for a request (default: 5)"
    )
    rag_share: Fraction | None = setting(
        Share(), default=None, help="with `documents`: how many requests retrieve (default: 10 %)"
    )
    skew: Fraction | None = setting(
        Number(maximum=10),
        default=None,
        help="with `documents`: the k-th most popular document has a weight of k^-skew (default: 1)",
    )
    target_p95_ns: int | None = setting(
        Duration(minimum=1), default=None, help="95 % of the requests are to be served within this time (QoS)"
    )
    target_p99_ns: int | None = setting(
        Duration(minimum=1), default=None, help="99 % of the requests are to be served within this time (QoS)"
    )

    def check(self) -> Iterator[Finding]:
        if (
            self.target_p95_ns is not None
            and self.target_p99_ns is not None
            and self.target_p99_ns < self.target_p95_ns
        ):
            yield Finding(
                "KVS105",
                "99 % cannot be asked to be served sooner than 95 %",
                "target_p99",
                "exchange `target_p95` and `target_p99`",
            )

    def complete(self) -> UsersSettings:
        defaults: dict[str, Any] = attrs.asdict(self.habits, recurse=False)
        of_documents = {
            "document_tokens": _tokens(4000, 12000),
            "chunk_tokens": 512,
            "retrieved": 5,
            "rag_share": Fraction(1, 10),
            "skew": Fraction(1),
        }
        if self.documents:
            defaults |= of_documents
        done = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        if not self.documents:
            done |= dict.fromkeys(of_documents)
        if not self.system_tokens:
            done["systems"] = 1
        return attrs.evolve(self, **done)


@attrs.frozen
class ChatUsers(UsersSettings):
    """Users who chat. First prompt, answer and pause are those of the chatbot of MLPerf Storage's kv-cache.py."""

    habits = Habits(_tokens(512, 4096), _tokens(20, 200), _tokens(50, 200), _FIVE_TURNS, _seconds("0.1", "0.5"))


@attrs.frozen
class CodeUsers(UsersSettings):
    """Users who program. First prompt, answer and pause are those of kv-cache.py's coding."""

    habits = Habits(_tokens(4096, 25000), _tokens(50, 1000), _tokens(100, 500), _FIVE_TURNS, _seconds("0.2", "1"))


@attrs.frozen
class DocumentUsers(UsersSettings):
    """Users who ask about a document. First prompt, answer and pause are those of kv-cache.py's document."""

    habits = Habits(_tokens(4096, 16384), _tokens(20, 200), _tokens(200, 800), _FIVE_TURNS, _seconds("0.3", "1.5"))


@attrs.frozen
class CustomUsers(UsersSettings):
    """Users of your own: one turn of 1,000 tokens and an answer of 100 tokens, without a pause."""

    habits = Habits(_tokens(1000, 1000), _tokens(100, 100), _tokens(100, 100), _ONE_TURN, _seconds("0", "0"))


#: The types of users by name.
USER_TYPES: Mapping[str, type[UsersSettings]] = {
    "chat": ChatUsers,
    "code": CodeUsers,
    "document": DocumentUsers,
    "custom": CustomUsers,
}
#: What a pattern without a `mix` has.
DEFAULT_MIX = ("chat", "code", "document")


@attrs.frozen
class ConversationsSettings:
    """Requests of users who converse, drawn from the sweep's seed before the run, once each, from an empty cache on.

    A request looks up the blocks of its prompt, reads those that are found and writes the others.
    """

    model: str | None = setting(
        Reference("model"), default=None, help="whose KV the blocks hold: a block has that of its tokens"
    )
    block_bytes: int | None = setting(Size(minimum=1), default=None, help="without a model: the bytes of a block")
    page_tokens: int = setting(Tokens(minimum=1), default=DEFAULT_PAGE_TOKENS, help="tokens of a block")
    mix: tuple[str, ...] | None = setting(
        ListOf(Reference("users")),
        default=None,
        help="who asks (default: as many `chat`, `code` and `document` users)",
    )
    trace: TraceFile | None = setting(
        TraceText(),
        default=None,
        help="take turns and tokens of the conversations of a trace, such as ShareGPT's, instead of drawing them",
    )
    users: int = setting(Count(maximum=100_000), default=DEFAULT_USERS, help="users who converse at the same time")
    requests: int = setting(Count(maximum=10_000_000), default=DEFAULT_REQUESTS, help="requests of all users together")
    rate_per_s: Fraction | None = setting(
        Rate(),
        default=None,
        help="requests that become due per second, of all users together (default: each asks when it has its answer)",
    )
    arrival: str | None = setting(
        Word("constant", "poisson"), default=None, help="with `rate`: how they are spread over time (default: poisson)"
    )
    history: str = setting(
        Word("kept", "none"),
        default="kept",
        help="`none`: a prompt is its turn alone, and nothing of it was there before",
    )
    outputs: str = setting(
        Word("kept", "dropped"), default="kept", help="are the whole blocks of an answer written when it is there?"
    )
    decode_reads: str = setting(
        Word("none", "as_kv_cache_py"),
        default="none",
        help="`as_kv_cache_py`: what a request wrote is read once more, and again for every 32 generated tokens",
    )
    phases: str = setting(
        Word("both", "prefill", "decode"),
        default="both",
        help="`prefill`: no answers; `decode`: every block is there before the trial and prompts are only read",
    )
    generation: str | None = setting(
        Word(*GENERATION_NS),
        default=None,
        help="time for a generated token: `none` (the default), `fast` 2 ms, `realistic` 30 ms",
    )
    tpot_ns: int | None = setting(Duration(), default=None, help="time for a generated token, instead of a word")
    order_for_bytes_per_s: Fraction = setting(
        Bandwidth(minimum=Fraction(1)),
        default=DEFAULT_ORDER_FOR,
        help="the order of the requests is drawn as if storage moved so many bytes per second",
    )
    context_limit_tokens: int = setting(
        Tokens(minimum=1), default=131072, help="a conversation ends before its prompt is longer; one turn is cut to it"
    )
    depth: int = setting(
        Count(), default=DEFAULT_DEPTH, help="operations in flight at a time, within what the driver can"
    )
    prefill_tokens_per_s: Fraction | None = setting(
        TokenRate(minimum=Fraction(1)),
        default=None,
        help="how fast tokens are computed that were not found: gives a time to first token",
    )

    def check(self) -> Iterator[Finding]:
        yield from block_findings(self.model, self.block_bytes)
        if self.generation is not None and self.tpot_ns is not None:
            yield Finding(
                "KVS114",
                "`generation` and `tpot` both say how long a generated token takes",
                "tpot",
                "keep one of the two",
            )
        if self.rate_per_s == 0:
            yield Finding("KVS105", "a rate of zero would never do anything", "rate", "write a rate such as `20 /s`")
        if self.decode_reads != "none" and self.phases != "both":
            yield Finding(
                "KVS114",
                f"`decode_reads = {self.decode_reads}` re-reads what a request wrote, and `phases = {self.phases}` "
                + ("has no decoding" if self.phases == "prefill" else "writes nothing"),
                "decode_reads",
                "leave one of the two out",
            )
        if self.mix is not None and len(set(self.mix)) < len(self.mix):
            yield Finding("KVS105", "the same users stand in the mix twice", "mix", "raise their `weight` instead")
        if self.mix is not None and len(self.mix) > self.users:
            yield Finding(
                "KVS105",
                f"{self.users} user{'s are' if self.users > 1 else ' is'} fewer than the {len(self.mix)} kinds of the "
                "mix",
                "users",
                "raise `users`, or take some out of the mix",
            )

    def complete(self) -> ConversationsSettings:
        done: dict[str, Any] = {}
        if self.generation is None and self.tpot_ns is None:
            done["generation"] = "none"
        if self.rate_per_s is None:
            done["arrival"] = None
        elif self.arrival is None:
            done["arrival"] = "poisson"
        return attrs.evolve(self, **done)

    @property
    def token_ns(self) -> int:
        """Time for a generated token, of completed settings."""
        return self.tpot_ns if self.tpot_ns is not None else GENERATION_NS[self.generation or "none"]
