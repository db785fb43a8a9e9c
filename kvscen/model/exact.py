"""What one rank moves of a model's KV (`sizing = exact`).

A request of `prompt + output` tokens is cut into ceil(tokens / page) pages, each request into pages of its own; the
last one is moved whole. A batch is what one rank of the fullest pipeline stage, the one with the most bytes, moves for
all requests.

With `access = layer` each page that a layer keeps is one block. With `access = block` a page is one block, with all
layers of the stage, where these are of one kind. Layers with different windows keep different pages and cannot share a
block: then a block has one page of a group of layers of one kind. The groups are as large as they can be with equally
many layers in each, so that all blocks have one size and none is padded: of 12 and 12 layers two groups of 12, of 2
and 1 three groups of 1. (vLLM's hybrid KV cache manager groups so
too, but makes groups as large as the smallest kind and pads where that does not divide the others.) A page of which a
layer keeps no token is no block. Layers that keep a state (`linear`) have one block of it for a request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import attrs

from kvscen.language.blocks import TransferSettings
from kvscen.language.schema import Finding, Size
from kvscen.model.geometry import Geometry, model_geometry
from kvscen.plan.point import ModelBlock


@attrs.frozen
class ExactSize:
    """What a pattern moves of a model.

    `geometry`: the model's KV. `pages`: of one request. `request_bytes`: all KV of one request, each byte once.
    `block_bytes` and `batch`: of one rank of the fullest stage, whose layers are `stage_layers`, `block_layers` of them
    in a block. `all_blocks` and `all_bytes`: of all tp x pp ranks, which move what they keep twice twice.
    """

    geometry: Geometry
    pages: int
    request_bytes: int
    stage_layers: int
    block_layers: int
    block_bytes: int
    batch: int
    all_blocks: int
    all_bytes: int

    @property
    def rank_bytes(self) -> int:
        """What one rank of the fullest stage moves."""
        return self.batch * self.block_bytes


#: Bytes of a page (or state) in one layer of a rank, its window and its chunk: layers alike in these share blocks.
_Alike: TypeAlias = tuple[int, int | None, int | None]


@attrs.frozen
class _Stage:
    """One rank of a stage: layers by (bytes of a page, what they attend to), and pages of a request by the same."""

    layers: Mapping[_Alike, int]
    pages: Mapping[_Alike, int]

    @property
    def request_bytes(self) -> int:
        return sum(count * kind[0] * self.pages[kind] for kind, count in self.layers.items())

    def block_layers(self, access: str | None) -> int:
        return 1 if access == "layer" else math.gcd(*self.layers.values())

    def blocks(self, access: str | None) -> int:
        """Blocks of one request."""
        each = self.block_layers(access)
        return sum(count // each * self.pages[kind] for kind, count in self.layers.items())


def exact_size(pattern: TransferSettings, model: ModelBlock) -> ExactSize | tuple[Finding, ...]:
    """The sizes of a pattern that has a model, or why there are none. Both are completed: `page`, `prompt`, `requests`
    and `access` have values."""
    sizes = model_geometry(model)
    if not isinstance(sizes, Geometry):
        return sizes
    assert pattern.page_tokens and pattern.prompt_tokens and pattern.requests, "a checked and completed pattern"
    tokens, page = pattern.prompt_tokens + (pattern.output_tokens or 0), pattern.page_tokens
    every = {own: _stage(sizes, own, tokens, page) for own in dict.fromkeys(sizes.stages)}
    fullest = max(every.values(), key=lambda stage: stage.request_bytes)
    if not fullest.request_bytes:
        return (
            Finding(
                "KVS205",
                f"after {tokens:,} tokens each chunk is full, and the layers of `{model.name}` keep no block",
                "prompt",
                "let a request end within a chunk",
            ),
        )
    widths = {width for width, *_ in fullest.layers}
    if len(widths) > 1:
        states = {kind.rank_state_bytes for kind in sizes.kinds if kind.state_bytes}
        shown = " and ".join(
            f"{Size().show(width)} of a {'request' if width in states else 'page'}" for width in sorted(widths)
        )
        if not states:
            shown = f"{shown.replace(' of a page', '')} of a page"
        return (
            Finding(
                "KVS207",
                f"a rank keeps {shown} in the layers of `{model.name}`: blocks of one size cannot hold both",
                "model",
                f"give each part a pattern of its own: {', '.join(dict.fromkeys(part.name for part in model.parts))}",
            ),
        )
    access, ranks = pattern.access, sizes.tp * pattern.requests
    held = [every[own] for own in sizes.stages]
    return ExactSize(
        sizes,
        -(-tokens // page),
        sizes.request_bytes(tokens, page),
        sum(fullest.layers.values()),
        fullest.block_layers(access),
        fullest.block_layers(access) * widths.pop(),
        pattern.requests * fullest.blocks(access),
        ranks * sum(stage.blocks(access) for stage in held),
        ranks * sum(stage.request_bytes for stage in held),
    )


def _stage(sizes: Geometry, own: tuple[int, ...], tokens: int, page_tokens: int) -> _Stage:
    layers: dict[_Alike, int] = {}
    pages: dict[_Alike, int] = {}
    for count, kind in zip(own, sizes.kinds, strict=True):
        if count:
            key = kind.rank_page_bytes(page_tokens), kind.window_tokens, kind.chunk_tokens
            layers[key] = layers.get(key, 0) + count
            pages[key] = kind.pages(tokens, page_tokens)
    return _Stage(layers, pages)
