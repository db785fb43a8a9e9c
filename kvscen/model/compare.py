"""Why KVBench's sizes are not the exact ones: one sentence for each cause that is at work.

What KVBench gets wrong is known from its source (kvscen.model.kvbench). Where no cause is at work here, block, blocks
of all ranks and bytes of all ranks are equal: a test holds that for any model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import attrs

from kvscen.language.blocks import DTYPE_BITS, HeadsSettings, LatentSettings, TransferSettings
from kvscen.model.exact import ExactSize
from kvscen.model.geometry import KindSettings, LayerKind, kinds_of
from kvscen.model.kvbench import KVBenchSize, left_out
from kvscen.plan.point import ModelBlock


@attrs.frozen
class Difference:
    """`cause` is a stable name; `sentence` says what KVBench does, what is so, and ends without a full stop."""

    cause: str
    sentence: str


@attrs.frozen
class _Case:
    pattern: TransferSettings
    model: ModelBlock
    kinds: tuple[KindSettings, ...]
    exact: ExactSize
    kvbench: KVBenchSize

    @property
    def tp(self) -> int:
        return self.kinds[0].tp

    @property
    def pp(self) -> int:
        return self.kinds[0].pp

    @property
    def layers(self) -> int:
        return self.exact.geometry.layers


def differences(
    pattern: TransferSettings, model: ModelBlock, exact: ExactSize, kvbench: KVBenchSize
) -> tuple[Difference, ...]:
    """Every cause that is at work: first those that change the block, then those that change how many there are."""
    case = _Case(pattern, model, kinds_of(model), exact, kvbench)
    return tuple(difference for cause in _CAUSES for difference in cause(case))


def _weight_dtype(case: _Case) -> Iterator[Difference]:
    kind, weights = case.kinds[0], case.pattern.weight_dtype
    if not isinstance(kind, HeadsSettings) or weights is None:
        return
    ratio = Fraction(DTYPE_BITS[weights], DTYPE_BITS[kind.kv_dtype])
    if ratio != 1:
        yield Difference(
            "weight_dtype",
            f"KVBench takes the format of the weights, {weights}, for K and V; the cache keeps {kind.kv_dtype}: "
            f"that makes KVBench's bytes {_times(ratio)} as many",
        )


def _latent(case: _Case) -> Iterator[Difference]:
    if isinstance(case.kinds[0], LatentSettings) and case.tp > 1:
        yield Difference(
            "latent_split",
            f"KVBench divides the compressed vector by tp = {case.tp}; it has no heads to divide, and each rank keeps "
            f"all of it: that makes a block {case.tp} times as large, and what all ranks keep {case.tp} times as much",
        )


def _heads(case: _Case) -> Iterator[Difference]:
    kind = case.kinds[0]
    if isinstance(kind, HeadsSettings) and kind.tp > kind.kv_heads:
        copies = kind.tp // kind.kv_heads
        yield Difference(
            "heads_split",
            f"KVBench divides {_count(kind.kv_heads, 'KV head')} by tp = {kind.tp}, 1/{copies} of a head for each "
            f"rank; a head is kept whole, by {copies} ranks each: that makes a block {copies} times as large, and what "
            f"all ranks keep {copies} times as much",
        )


def _stages(case: _Case) -> Iterator[Difference]:
    held = case.exact.geometry.stage_layers
    if case.pattern.access == "layer" or len(set(held)) == 1:
        return
    most, least = max(held), min(held)
    if case.kvbench.part_layers:
        yield Difference(
            "part_layers",
            f"{case.kvbench.part_layers}; a stage has whole ones: {held.count(most)} have {most}, "
            f"{held.count(least)} have {least}",
        )
    else:
        yield Difference(
            "uneven_stages",
            f"KVBench counts all blocks as large as those of the fullest stage, with {most} layers; "
            f"{held.count(least)} of the {case.pp} stages have {least}, so there are more blocks than it counts",
        )


def _groups(case: _Case) -> Iterator[Difference]:
    size = case.exact
    if case.pattern.access == "block" and size.block_layers < size.stage_layers:
        yield Difference(
            "layer_groups",
            "KVBench puts all layers of a page into one block; layers that keep different pages cannot share one: a "
            f"block has {size.block_layers} of the stage's {size.stage_layers} layers",
        )


def _left_out(case: _Case) -> Iterator[Difference]:
    for setting, sentence in left_out(case.pattern, case.model):
        # A window has a sentence of its own, and the weights' format is nothing that exact sizes know either.
        if setting not in ("window", "chunk", "weight_dtype", "output"):
            yield Difference(setting, f"KVBench leaves `{setting}` out: {sentence}")


def _truncated(case: _Case) -> Iterator[Difference]:
    for sentence in case.kvbench.truncated:
        yield Difference("truncated", sentence)


def _ranks(case: _Case) -> Iterator[Difference]:
    ranks = case.tp * case.pp
    if ranks > 1:
        yield Difference(
            "all_ranks",
            f"KVBench's batch is that of all {ranks} ranks together (tp {case.tp} x pp {case.pp}); a rank moves "
            f"{_count(case.exact.batch, 'block')} of its own",
        )


def _pages(case: _Case) -> Iterator[Difference]:
    pattern = case.pattern
    assert pattern.page_tokens and pattern.prompt_tokens and pattern.requests
    each = Fraction(pattern.prompt_tokens, pattern.page_tokens)
    begun = pattern.requests * case.tp * (case.layers if pattern.access == "layer" else case.pp)
    if each.denominator > 1 and begun > 1:
        yield Difference(
            "page_rounding",
            "KVBench rounds up once, for all requests and ranks together; each request has whole pages of its own: "
            f"{-(-pattern.prompt_tokens // pattern.page_tokens):,}, where KVBench reckons with {_decimal(each)}",
        )


def _output(case: _Case) -> Iterator[Difference]:
    if case.pattern.output_tokens:
        yield Difference(
            "output", f"KVBench sizes the prompt alone; each request has {case.pattern.output_tokens:,} tokens more"
        )


def _windows(case: _Case) -> Iterator[Difference]:
    pattern = case.pattern
    assert pattern.page_tokens and pattern.prompt_tokens
    tokens = pattern.prompt_tokens + (pattern.output_tokens or 0)
    for kind in case.exact.geometry.kinds:
        pages = kind.pages(tokens, pattern.page_tokens)
        if pages < case.exact.pages:
            yield Difference(
                "window",
                f"KVBench keeps all tokens in every layer; {kind.layers} of the {case.layers} layers attend to "
                f"{_reach(kind)} and keep {pages:,} of a request's {case.exact.pages:,} pages",
            )


def _reach(kind: LayerKind) -> str:
    return f"the newest {kind.window_tokens:,}" if kind.window_tokens else f"a chunk of {kind.chunk_tokens:,}"


_CAUSES: tuple[Callable[[_Case], Iterator[Difference]], ...] = (
    _weight_dtype,
    _latent,
    _heads,
    _stages,
    _groups,
    _left_out,
    _truncated,
    _ranks,
    _pages,
    _output,
    _windows,
)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _decimal(value: Fraction) -> str:
    return f"{float(value):,.2f}".rstrip("0").rstrip(".")


def _times(ratio: Fraction) -> str:
    return f"{_decimal(ratio)} times" if ratio >= 1 else str(ratio)
