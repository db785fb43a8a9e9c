"""How many bytes of KV a model keeps: per token, layer, page and rank. Exact: what does not fill whole bytes is an
error.

For one token, one layer and one KV head, `mha` and `gqa` keep a K vector of `head_dim` numbers and a V vector of
`v_head_dim`. `mla` keeps, for one token and layer, a compressed vector of `latent_dim` numbers and a rotary key of
`rope_dim`. `linear` keeps for one request and layer a state, whatever the tokens. `hybrid` has layers of several such
kinds.

A quantized vector has a scale of `scale_bytes`, or with `scale_group` one for each group of its numbers (the blocks of
llama.cpp, MXFP and NVFP4; of `mla` the compressed vector alone, as in FlashMLA). With `scale_per = token` the K of all
heads that a rank keeps have one, and the V. Scales of a whole tensor are kept with the weights: they are no KV.

Tensor parallelism (`tp` ranks share a layer) splits the KV heads; where there are more ranks than heads, each head is
kept by tp / kv_heads ranks. The compressed vector of `mla` has no heads: each rank keeps all of it. Pipeline
parallelism (`pp` stages) gives each stage whole layers; the first ones take one more where they do not divide.

A layer with a `window` needs, for the next token, that one and the window - 1 before it. It keeps the pages that hold
any of these, and nothing of older ones: as vLLM does (`SlidingWindowManager` in vllm/v1/core). A layer with a `chunk`
keeps the pages of the chunk that the next token is in (`ChunkedLocalAttentionManager` there).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

import attrs

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, HybridSettings, LatentSettings, LinearSettings
from kvscen.language.schema import Finding
from kvscen.plan.point import ModelBlock

#: Settings of a model whose layers all keep alike.
KindSettings: TypeAlias = HeadsSettings | LatentSettings | LinearSettings


@attrs.frozen
class LayerKind:
    """Layers that keep alike.

    `token_bytes`: one token in one layer, all heads. `rank_token_bytes`: what one rank keeps of that. `replicas`: ranks
    that keep the same KV. `window_tokens` and `chunk_tokens`: None where a layer keeps all tokens. `state_bytes` and
    `rank_state_bytes`: of one request in one layer, whatever its tokens; such layers keep nothing else.
    """

    layers: int
    token_bytes: int
    rank_token_bytes: int
    replicas: int
    window_tokens: int | None = None
    chunk_tokens: int | None = None
    state_bytes: int = 0
    rank_state_bytes: int = 0

    @property
    def grows(self) -> bool:
        """A longer request keeps more, without end."""
        return self.window_tokens is None and self.chunk_tokens is None and not self.state_bytes

    def pages(self, tokens: int, page_tokens: int) -> int:
        """How many pages a layer keeps of a request of `tokens` tokens, cut into pages from its beginning. A state is
        one."""
        if self.state_bytes:
            return 1
        first = 0
        if self.window_tokens is not None:
            first = max(tokens - (self.window_tokens - 1), 0)
        elif self.chunk_tokens is not None:
            first = tokens // self.chunk_tokens * self.chunk_tokens
        return 0 if first == tokens else -(-tokens // page_tokens) - first // page_tokens

    def most_pages(self, page_tokens: int) -> int | None:
        """The most pages that a layer keeps of a request of any length; None where there is no end."""
        if self.state_bytes:
            return 1
        if self.window_tokens is not None:
            return (self.window_tokens - 3) // page_tokens + 2 if self.window_tokens > 2 else 1
        if self.chunk_tokens is not None:
            # A chunk that does not begin with a page shares its first one with the chunk before it.
            off = page_tokens - math.gcd(self.chunk_tokens, page_tokens)
            return -(-(off + self.chunk_tokens - 1) // page_tokens)
        return None

    def page_bytes(self, page_tokens: int) -> int:
        """A page in one layer, each byte counted once; of a state all of it."""
        return self.state_bytes or page_tokens * self.token_bytes

    def rank_page_bytes(self, page_tokens: int) -> int:
        """What one rank keeps of that."""
        return self.rank_state_bytes or page_tokens * self.rank_token_bytes


@attrs.frozen
class Geometry:
    """The KV of one model. Bytes are for all ranks unless the name says rank.

    `stages`: how many layers of each kind each pipeline stage has. `tp`: ranks of a stage.
    """

    kinds: tuple[LayerKind, ...]
    stages: tuple[tuple[int, ...], ...]
    tp: int

    @property
    def layers(self) -> int:
        return sum(kind.layers for kind in self.kinds)

    @property
    def token_bytes(self) -> int:
        """One token in all layers, each byte counted once."""
        return sum(kind.layers * kind.token_bytes for kind in self.kinds)

    @property
    def stage_layers(self) -> tuple[int, ...]:
        return tuple(map(sum, self.stages))

    @property
    def all_ranks_token_bytes(self) -> int:
        """One token in all layers as all tp x pp ranks together keep it: what several ranks keep counts for each."""
        return self.tp * sum(map(self.rank_token_bytes, range(len(self.stages))))

    @property
    def fullest_rank_token_bytes(self) -> int:
        """One token as a rank of the stage with the most bytes keeps it."""
        return max(map(self.rank_token_bytes, range(len(self.stages))))

    @property
    def state_bytes(self) -> int:
        """The states of one request in all layers, each byte counted once."""
        return sum(kind.layers * kind.state_bytes for kind in self.kinds)

    def page_bytes(self, page_tokens: int) -> int:
        """A page in all layers that keep tokens, each byte counted once."""
        return page_tokens * self.token_bytes

    def request_bytes(self, tokens: int, page_tokens: int) -> int:
        """All pages and states that a request has in all layers, each byte counted once."""
        return sum(kind.layers * kind.page_bytes(page_tokens) * kind.pages(tokens, page_tokens) for kind in self.kinds)

    def rank_request_bytes(self, tokens: int, page_tokens: int) -> int:
        """All that a rank of the stage with the most bytes keeps of a request."""
        each = [kind.rank_page_bytes(page_tokens) * kind.pages(tokens, page_tokens) for kind in self.kinds]
        return max(sum(layers * one for layers, one in zip(own, each, strict=True)) for own in self.stages)

    def rank_token_bytes(self, stage: int) -> int:
        """One token in all layers of a stage (from 0), as one rank of it keeps it."""
        held = zip(self.stages[stage], self.kinds, strict=True)
        return sum(layers * kind.rank_token_bytes for layers, kind in held)


def kinds_of(model: ModelBlock) -> tuple[KindSettings, ...]:
    """The settings of each kind of layers, with the model's own `tp`, `pp` and `kv_dtype`."""
    own = model.settings
    if not isinstance(own, HybridSettings):
        return (own,)
    return tuple(_of_hybrid(part.settings, own) for part in model.parts)


def dtypes_of(kinds: Iterable[KindSettings]) -> str:
    """The formats of KV: `fp8`, or `bf16/fp8` where kinds differ, or K and V do. A state has none."""
    found: dict[str, None] = {}
    for kind in kinds:
        if not isinstance(kind, LinearSettings):
            found[kind.kv_dtype] = None
            if isinstance(kind, HeadsSettings) and kind.v_dtype:
                found[kind.v_dtype] = None
    return "/".join(found)


def _of_hybrid(part: KindSettings, own: HybridSettings) -> KindSettings:
    if isinstance(part, LinearSettings):
        return attrs.evolve(part, tp=own.tp, pp=own.pp)
    dtype = own.kv_dtype or part.kv_dtype
    if isinstance(part, LatentSettings):
        rope = dtype if part.rope_dtype == part.kv_dtype else part.rope_dtype
        return attrs.evolve(part, kv_dtype=dtype, rope_dtype=rope, tp=own.tp, pp=own.pp)
    return attrs.evolve(part, kv_dtype=dtype, tp=own.tp, pp=own.pp)


def model_geometry(model: ModelBlock) -> Geometry | tuple[Finding, ...]:
    """The KV of a model, or what is wrong with its settings and those of its parts."""
    for part in model.parts:
        for setting in ("tp", "pp"):
            if getattr(part.settings, setting) != 1:
                return (
                    Finding(
                        "KVS114",
                        f"`{part.name}` is a part of `{model.name}`, whose own `{setting}` counts",
                        "parts",
                        f"give `{model.name}` the `{setting}`, and `{part.name}` none",
                    ),
                )
    return geometry(*kinds_of(model))


def geometry(*kinds: KindSettings) -> Geometry | tuple[Finding, ...]:
    """The KV of a model with these kinds of layers, which have the same `tp` and `pp`, or what is wrong with them."""
    pp, layers = kinds[0].pp, sum(kind.layers for kind in kinds)
    found = [finding for kind in kinds for finding in _findings(kind)]
    if pp > layers:
        found.append(
            Finding(
                "KVS204",
                f"{pp} pipeline stages for {layers} layers: a stage would have none",
                "pp",
                f"use at most {layers} stages",
            )
        )
    if found:
        return tuple(dict.fromkeys(found))
    return Geometry(tuple(map(_kind, kinds)), _stages(tuple(kind.layers for kind in kinds), pp), kinds[0].tp)


def _kind(settings: KindSettings) -> LayerKind:
    if isinstance(settings, LinearSettings):
        state = settings.state_bytes
        return LayerKind(settings.layers, 0, 0, 1, state_bytes=state, rank_state_bytes=state // settings.tp)
    if isinstance(settings, LatentSettings):
        assert settings.rope_dtype is not None, "a completed settings object"
        numbers_bits = (
            settings.latent_dim * DTYPE_BITS[settings.kv_dtype] + settings.rope_dim * DTYPE_BITS[settings.rope_dtype]
        )
        scales = settings.latent_dim // (settings.scale_group or settings.latent_dim)
        whole = numbers_bits // 8 + scales * settings.scale_bytes
        return LayerKind(settings.layers, whole, whole, settings.tp)
    heads, tp = settings.kv_heads, settings.tp
    head, beside = 0, 0
    for _, numbers, dtype, scale in vectors_of(settings):
        head += numbers * DTYPE_BITS[dtype] // 8
        if settings.scale_per == "token":
            beside += scale
        else:
            head += numbers // (settings.scale_group or numbers) * scale
    # Where several ranks keep a head, each has all of it and a scale of its own.
    return LayerKind(
        settings.layers,
        heads * head + min(tp, heads) * beside,
        max(heads // tp, 1) * head + beside,
        max(tp // heads, 1),
        settings.window_tokens,
        settings.chunk_tokens,
    )


def vectors_of(settings: HeadsSettings) -> tuple[tuple[str, int, str, int], ...]:
    """K and V of one token, layer and KV head: (setting of the length, numbers, format, bytes of a scale)."""
    scale = settings.scale_bytes
    return (
        ("head_dim", settings.head_dim, settings.kv_dtype, scale),
        (
            "v_head_dim" if settings.v_head_dim not in (None, settings.head_dim) else "head_dim",
            settings.v_head_dim or settings.head_dim,
            settings.v_dtype or settings.kv_dtype,
            scale if settings.v_scale_bytes is None else settings.v_scale_bytes,
        ),
    )


def stages(layers: int, count: int) -> tuple[int, ...]:
    """Layers of each stage: whole ones, as even as they go."""
    each, more = divmod(layers, count)
    return tuple(each + (1 if stage < more else 0) for stage in range(count))


def turns(counts: Sequence[int]) -> tuple[int, ...]:
    """Whose turn it is, layer by layer, where kind i has counts[i] layers: as evenly as they go, the first kind first.
    Twelve and twelve alternate; of five and one the one comes last."""
    order = sorted((Fraction(number + 1, count), kind) for kind, count in enumerate(counts) for number in range(count))
    return tuple(kind for _, kind in order)


@functools.cache
def _stages(counts: tuple[int, ...], pp: int) -> tuple[tuple[int, ...], ...]:
    order, begin = turns(counts), 0
    found = []
    for layers in stages(len(order), pp):
        own = order[begin : begin + layers]
        found.append(tuple(own.count(kind) for kind in range(len(counts))))
        begin += layers
    return tuple(found)


def _findings(settings: KindSettings) -> Iterator[Finding]:
    if isinstance(settings, LinearSettings):
        if settings.state_bytes % settings.tp:
            yield Finding(
                "KVS202",
                f"a state of {settings.state_bytes:,} bytes over {settings.tp} ranks is not whole bytes for each",
                "tp",
                "let `tp` divide the `state`",
            )
        return
    if isinstance(settings, LatentSettings):
        yield from _groups(settings.scale_group, ("latent_dim", settings.latent_dim))
        yield from _fractions(
            ("latent_dim", "compressed vector", settings.latent_dim, settings.kv_dtype, "kv_dtype"),
            ("rope_dim", "rotary key", settings.rope_dim, settings.rope_dtype or settings.kv_dtype, "rope_dtype"),
        )
        return
    heads, tp = settings.kv_heads, settings.tp
    large, small = max(heads, tp), min(heads, tp)
    if large % small:
        yield Finding(
            "KVS201",
            f"{heads} KV heads cannot be shared evenly by {tp} ranks",
            "tp",
            f"let `tp` divide the {heads} KV heads, or be a multiple of them: then several ranks keep each head",
        )
    (_, _, k_dtype, _), (v_name, v_numbers, v_dtype, _) = vectors_of(settings)
    yield from _groups(settings.scale_group, ("head_dim", settings.head_dim), (v_name, v_numbers))
    yield from _fractions(
        ("head_dim", "K of one head", settings.head_dim, k_dtype, "kv_dtype"),
        ("v_head_dim", "V of one head", v_numbers, v_dtype, "v_dtype" if settings.v_dtype else "kv_dtype"),
    )


def _groups(group: int | None, *vectors: tuple[str, int]) -> Iterable[Finding]:
    for name, numbers in dict.fromkeys(vectors):
        if group is not None and numbers % group:
            yield Finding(
                "KVS202",
                f"`{name} = {numbers}` is not whole groups of {group} numbers with a scale each",
                "scale_group",
                f"let `scale_group` divide `{name}`",
            )


def _fractions(*vectors: tuple[str, str, int, str, str]) -> Iterable[Finding]:
    for name, what, numbers, dtype, at in vectors:
        bits = numbers * DTYPE_BITS[dtype]
        if bits % 8:
            yield Finding(
                "KVS202",
                f"the {what} has {numbers} numbers of {DTYPE_BITS[dtype]} bits: {bits / 8:g} bytes",
                at,
                f"an even `{name}`, or a format of at least 8 bits, fills whole bytes",
            )
            return
