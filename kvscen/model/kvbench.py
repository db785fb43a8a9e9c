"""The sizes that NIXL's KVBench computes, to the digit, wrong ones included (`sizing = kvbench`).

Source: benchmark/kvbench of github.com/ai-dynamo/nixl, models/*.py (`get_kv_size_per_token`, `get_io_size`) and
models/utils.py (`get_batch_size`, `get_precision_size`), as they are in NIXL 1.4. `llama3_1.py`, `qwen3.py` and
`gpt_oss.py` have one formula, taken here for every model with KV heads; `deepseek_r1.py` has the one for `mla`.

KVBench divides and multiplies floats and truncates them by `int()`. Here the same operations stand in the same order,
so that what they lose is lost here too: 1 / 49 * 98 is 1 byte. Wherever the exact value is another one, that is said
in `fractions`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

import attrs

from kvscen.language.blocks import HeadsSettings, LatentSettings, LinearSettings, TransferSettings
from kvscen.language.diagnose import Severity
from kvscen.language.schema import Finding
from kvscen.model.geometry import KindSettings, kinds_of
from kvscen.plan.point import ModelBlock

#: Bytes of a number in the formats that KVBench knows (its `bfloat16` is `bf16` here).
PRECISION_BYTES: Mapping[str, int] = {"fp8": 1, "int8": 1, "fp16": 2, "bf16": 2}


@attrs.frozen
class KVBenchSize:
    """What KVBench computes. `token_bytes`: one token in all layers. `block_bytes`: its "IO size". `batch`: blocks of
    all requests and of all ranks together. `part_layers` says so where a stage has a part of a layer, and `truncated`
    has a sentence for each fraction that is cut off."""

    token_bytes: int
    block_bytes: int
    batch: int
    part_layers: str | None = None
    truncated: tuple[str, ...] = ()

    @property
    def fractions(self) -> tuple[str, ...]:
        """A sentence for each fraction that its formulas come to."""
        return (self.part_layers, *self.truncated) if self.part_layers else self.truncated

    @property
    def total_bytes(self) -> int:
        """What it calls the total buffer size."""
        return self.batch * self.block_bytes


def kvbench_size(pattern: TransferSettings, model: ModelBlock) -> KVBenchSize | tuple[Finding, ...]:
    """The sizes of a pattern that has a model, or why KVBench has none. Both are completed: `page`, `prompt`,
    `requests` and `access` have values.

    `block` is with heads int(int(int(layer / tp) * (layers / pp)) * page), with `mla` int(layer / tp * ceil(layers /
    pp) * page), where `layer` is a token's bytes in one layer; `access = layer` leaves the factor of the layers out.
    `batch` is ceil(token * prompt / block * requests). With heads the bytes of a number are the weights'.
    """
    assert pattern.page_tokens and pattern.prompt_tokens and pattern.requests, "a checked and completed pattern"
    settings = _alike(model)
    if settings is None or isinstance(settings, LinearSettings):
        what = "keep a state" if settings else "differ in shape"
        return (
            Finding(
                "KVS206",
                f"the layers of `{model.name}` {what}, and KVBench has no formula for that",
                "sizing",
                "use `sizing = exact`",
            ),
        )
    if isinstance(settings, LatentSettings):
        dtype, at = settings.kv_dtype, "kv_dtype"
        numbers = settings.latent_dim + settings.rope_dim
    else:
        at = "weight_dtype" if pattern.weight_dtype else "kv_dtype"
        dtype = pattern.weight_dtype or settings.kv_dtype
        numbers = settings.kv_heads * settings.head_dim * 2
    if dtype not in PRECISION_BYTES:
        known = ", ".join(f"`{name}`" for name in PRECISION_BYTES)
        return (
            Finding(
                "KVS206",
                f"KVBench does not know the format `{dtype}`",
                at,
                f"it knows {known}; `sizing = exact` knows all formats",
            ),
        )
    token_bytes = settings.layers * numbers * PRECISION_BYTES[dtype]
    block_bytes, truncated = _block(pattern, settings, token_bytes)
    if block_bytes == 0:
        return (
            Finding(
                "KVS206",
                f"KVBench's block has 0 bytes: {token_bytes // settings.layers} bytes of a token and layer are less "
                f"than one for each of {settings.tp} ranks",
                "tp",
                "use fewer ranks, or `sizing = exact`",
            ),
        )
    batch = math.ceil(token_bytes * pattern.prompt_tokens / block_bytes * pattern.requests)
    return KVBenchSize(token_bytes, block_bytes, batch, _part_layers(pattern, settings), truncated)


def _alike(model: ModelBlock) -> KindSettings | None:
    """The model as one with layers of one kind, which is all that KVBench knows; None where they are not alike in what
    its formulas ask for."""
    kinds = kinds_of(model)
    layers = sum(kind.layers for kind in kinds)
    if len({_asked(kind) for kind in kinds}) > 1:
        return None
    return attrs.evolve(kinds[0], layers=layers)


def _asked(kind: KindSettings) -> tuple[type, int, int, str]:
    if isinstance(kind, LinearSettings):
        return LinearSettings, kind.state_bytes, 0, ""
    if isinstance(kind, LatentSettings):
        return LatentSettings, kind.latent_dim, kind.rope_dim, kind.kv_dtype
    return HeadsSettings, kind.kv_heads, kind.head_dim, kind.kv_dtype


def _part_layers(pattern: TransferSettings, settings: KindSettings) -> str | None:
    layers, pp = settings.layers, settings.pp
    if pattern.access == "layer" or isinstance(settings, LatentSettings) or not layers % pp:
        return None
    return f"KVBench gives a stage {_decimal(Fraction(layers, pp))} layers, {layers} over {pp} stages"


def _block(pattern: TransferSettings, settings: KindSettings, token_bytes: int) -> tuple[int, tuple[str, ...]]:
    """(bytes of a block, what is cut off on the way to it)."""
    assert pattern.page_tokens is not None
    layers, tp, pp, page = settings.layers, settings.tp, settings.pp, pattern.page_tokens
    all_layers = pattern.access == "block"
    lost: list[str] = []

    def cut_off(value: float, exact: Fraction, what: str) -> int:
        if exact != int(value):
            lost.append(f"KVBench takes {int(value):,} bytes for {what}, which comes to {_decimal(exact)}")
        return int(value)

    layer = int(token_bytes / layers)
    if isinstance(settings, LatentSettings):
        share, held = layer / tp, math.ceil(layers / pp) if all_layers else 1
        exact = Fraction(layer, tp) * held * page
        block = cut_off(share * held * page, exact, f"a page, {layer:,} bytes of a token and layer over {tp} ranks")
        return block, tuple(lost)
    part = cut_off(layer / tp, Fraction(layer, tp), f"a token and layer of a rank, {layer:,} over {tp} ranks")
    if all_layers:
        what = f"a token of a rank, {part:,} in each of {_decimal(Fraction(layers, pp))} layers"
        part = cut_off(part * (layers / pp), part * Fraction(layers, pp), what)
    return int(part * page), tuple(lost)


def _decimal(value: Fraction) -> str:
    return f"{float(value):,.2f}".rstrip("0").rstrip(".")


def kvbench_findings(pattern: TransferSettings, model: ModelBlock, size: KVBenchSize) -> Iterator[Finding]:
    """What somebody must know who measures with these sizes: fractions, and settings that KVBench has nothing for."""
    for sentence in size.fractions:
        yield Finding(
            "KVS211",
            sentence,
            "sizing",
            "no rank keeps a part of a layer or of a byte: `sizing = exact` has whole ones",
            Severity.WARNING,
        )
    for setting, sentence in left_out(pattern, model):
        # The parts of a model of the catalogue stand in no text of the user's: there the place is `sizing`.
        own = setting in ("output", "weight_dtype") or not model.parts
        yield Finding(
            "KVS212",
            f"KVBench leaves `{setting}` out: {sentence}",
            setting if own else "sizing",
            "`sizing = exact` counts it; `kvscen size` shows both",
            Severity.INFO,
        )


def left_out(pattern: TransferSettings, model: ModelBlock) -> Iterator[tuple[str, str]]:
    """(setting, what KVBench takes instead) for each setting that would change a size and does not change
    KVBench's."""
    found: dict[tuple[str, str], None] = {}
    if pattern.output_tokens:
        found["output", "it sizes the prompt alone"] = None
    for kind in kinds_of(model):
        found.update(dict.fromkeys(_left_out_of(kind, pattern.weight_dtype)))
    yield from found


def _left_out_of(kind: KindSettings, weight_dtype: str | None) -> Iterator[tuple[str, str]]:
    if isinstance(kind, LinearSettings):
        return
    if kind.scale_bytes:
        yield "scale_bytes", "it counts no quantization scales"
    if isinstance(kind, LatentSettings):
        if kind.rope_dtype != kind.kv_dtype:
            yield "rope_dtype", f"it takes `{kind.kv_dtype}` for the rotary key too"
        if weight_dtype not in (None, kind.kv_dtype):
            yield "weight_dtype", "with `mla` KVBench takes the format of the KV"
        return
    if kind.v_head_dim != kind.head_dim:
        yield "v_head_dim", f"its V has {kind.head_dim} numbers as its K"
    if kind.v_dtype not in (None, kind.kv_dtype):
        yield "v_dtype", f"it takes `{kind.kv_dtype}` for V too"
    if kind.v_scale_bytes and not kind.scale_bytes:
        yield "v_scale_bytes", "it counts no quantization scales"
    if kind.window_tokens is not None:
        yield "window", "in its formulas every layer keeps all tokens"
    if kind.chunk_tokens is not None:
        yield "chunk", "in its formulas every layer keeps all tokens"
