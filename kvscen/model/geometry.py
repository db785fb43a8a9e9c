"""How many bytes of KV a model keeps: per token, layer, page and rank. Exact: what does not fill whole bytes is an
error.

For one token, one layer and one KV head, `mha` and `gqa` keep a K vector of `head_dim` numbers and a V vector of
`v_head_dim`, each with `scale_bytes` of quantization scales. `mla` keeps, for one token and layer, a compressed vector
of `latent_dim` numbers and a rotary key of `rope_dim`, with `scale_bytes` for both together. `hybrid` has layers of
several such kinds.

Tensor parallelism (`tp` ranks share a layer) splits the KV heads; where there are more ranks than heads, each head is
kept by tp / kv_heads ranks. The compressed vector of `mla` has no heads: each rank keeps all of it. Pipeline
parallelism (`pp` stages) gives each stage whole layers; the first ones take one more where they do not divide.

A layer with a `window` needs, for the next token, that one and the window - 1 before it. It keeps the pages that hold
any of these, and nothing of older ones: as vLLM does (`SlidingWindowManager` in vllm/v1/core).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

import attrs

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, HybridSettings, LatentSettings
from kvscen.language.schema import Finding
from kvscen.plan.point import ModelBlock

#: Settings of a model whose layers all keep alike.
KindSettings: TypeAlias = HeadsSettings | LatentSettings


@attrs.frozen
class LayerKind:
    """Layers that keep alike.

    `token_bytes`: one token in one layer, all heads. `rank_token_bytes`: what one rank keeps of that. `replicas`: ranks
    that keep the same KV. `window_tokens`: None where a layer keeps all tokens.
    """

    layers: int
    token_bytes: int
    rank_token_bytes: int
    replicas: int
    window_tokens: int | None = None

    def pages(self, tokens: int, page_tokens: int) -> int:
        """How many pages a layer keeps of a request of `tokens` tokens, cut into pages from its beginning."""
        first = 0 if self.window_tokens is None else max(tokens - (self.window_tokens - 1), 0)
        return -(-tokens // page_tokens) - first // page_tokens


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

    def page_bytes(self, page_tokens: int) -> int:
        """A page in all layers, each byte counted once."""
        return page_tokens * self.token_bytes

    def request_bytes(self, tokens: int, page_tokens: int) -> int:
        """All pages that a request has in all layers, each byte counted once."""
        return page_tokens * sum(
            kind.layers * kind.token_bytes * kind.pages(tokens, page_tokens) for kind in self.kinds
        )

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


def _of_hybrid(part: KindSettings, own: HybridSettings) -> KindSettings:
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
    if isinstance(settings, LatentSettings):
        assert settings.rope_dtype is not None, "a completed settings object"
        numbers_bits = (
            settings.latent_dim * DTYPE_BITS[settings.kv_dtype] + settings.rope_dim * DTYPE_BITS[settings.rope_dtype]
        )
        whole = numbers_bits // 8 + settings.scale_bytes
        return LayerKind(settings.layers, whole, whole, settings.tp)
    assert settings.v_head_dim is not None, "a completed settings object"
    bits = DTYPE_BITS[settings.kv_dtype]
    head = (settings.head_dim * bits + settings.v_head_dim * bits) // 8 + 2 * settings.scale_bytes
    return LayerKind(
        settings.layers,
        settings.kv_heads * head,
        max(settings.kv_heads // settings.tp, 1) * head,
        max(settings.tp // settings.kv_heads, 1),
        settings.window_tokens,
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
    if isinstance(settings, LatentSettings):
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
    yield from _fractions(
        ("head_dim", "K of one head", settings.head_dim, settings.kv_dtype, "kv_dtype"),
        ("v_head_dim", "V of one head", settings.v_head_dim or settings.head_dim, settings.kv_dtype, "kv_dtype"),
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
