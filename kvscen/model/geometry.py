"""How many bytes of KV a model keeps: per token, layer, page and rank. Exact: what does not fill whole bytes is an
error.

For one token, one layer and one KV head, `mha` and `gqa` keep a K vector of `head_dim` numbers and a V vector of
`v_head_dim`, each with `scale_bytes` of quantization scales. `mla` keeps, for one token and layer, a compressed vector
of `latent_dim` numbers and a rotary key of `rope_dim`, with `scale_bytes` for both together.

Tensor parallelism (`tp` ranks share a layer) splits the KV heads; where there are more ranks than heads, each head is
kept by tp / kv_heads ranks. The compressed vector of `mla` has no heads: each rank keeps all of it. Pipeline
parallelism (`pp` stages) gives each stage whole layers; the first ones take one more where they do not divide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, LatentSettings
from kvscen.language.schema import Finding

ModelSettings: TypeAlias = HeadsSettings | LatentSettings


@attrs.frozen
class Geometry:
    """The KV of one model. Bytes are for all ranks unless the name says rank.

    `layer_token_bytes`: one token in one layer, all heads. `rank_layer_token_bytes`: what one rank keeps of that.
    `stage_layers`: layers of each pipeline stage. `replicas`: ranks that keep the same KV.
    """

    layers: int
    layer_token_bytes: int
    rank_layer_token_bytes: int
    stage_layers: tuple[int, ...]
    replicas: int

    @property
    def token_bytes(self) -> int:
        """One token in all layers, each byte counted once."""
        return self.layers * self.layer_token_bytes

    @property
    def fullest_stage_layers(self) -> int:
        return max(self.stage_layers)

    def page_bytes(self, page_tokens: int) -> int:
        """A page in all layers, each byte counted once."""
        return page_tokens * self.token_bytes

    def rank_token_bytes(self, stage: int) -> int:
        """One token in all layers of a stage (from 0), as one rank of it keeps it."""
        return self.stage_layers[stage] * self.rank_layer_token_bytes


def geometry(settings: ModelSettings) -> Geometry | tuple[Finding, ...]:
    """The KV of a model, or what is wrong with its settings."""
    found = tuple(_findings(settings))
    if found:
        return found
    if isinstance(settings, LatentSettings):
        assert settings.rope_dtype is not None, "a completed settings object"
        numbers_bits = (
            settings.latent_dim * DTYPE_BITS[settings.kv_dtype] + settings.rope_dim * DTYPE_BITS[settings.rope_dtype]
        )
        whole = numbers_bits // 8 + settings.scale_bytes
        rank = whole
        replicas = settings.tp
    else:
        assert settings.v_head_dim is not None, "a completed settings object"
        bits = DTYPE_BITS[settings.kv_dtype]
        head = (settings.head_dim * bits + settings.v_head_dim * bits) // 8 + 2 * settings.scale_bytes
        whole = settings.kv_heads * head
        rank = max(settings.kv_heads // settings.tp, 1) * head
        replicas = max(settings.tp // settings.kv_heads, 1)
    return Geometry(settings.layers, whole, rank, stages(settings.layers, settings.pp), replicas)


def stages(layers: int, count: int) -> tuple[int, ...]:
    """Layers of each stage: whole ones, as even as they go."""
    each, more = divmod(layers, count)
    return tuple(each + (1 if stage < more else 0) for stage in range(count))


def _findings(settings: ModelSettings) -> Iterator[Finding]:
    if settings.pp > settings.layers:
        yield Finding(
            "KVS204",
            f"{settings.pp} pipeline stages for {settings.layers} layers: a stage would have none",
            "pp",
            f"use at most {settings.layers} stages",
        )
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
