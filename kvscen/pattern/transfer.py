"""The pattern `transfer`: blocks of one size, read or written, sized by a model's KV or by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, cast

from kvscen.language.blocks import SweepSettings, TransferSettings
from kvscen.language.schema import Finding, Size
from kvscen.model.geometry import Geometry, ModelSettings, geometry
from kvscen.plan.point import Durability, Operation, Order, Work

#: The most bytes or operations that a column of 64 bits can hold.
_LARGEST = 2**63 - 1


def work(pattern: TransferSettings, model: ModelSettings | None, sweep: SweepSettings) -> Work | tuple[Finding, ...]:
    """The numbers of one point, or what is wrong. All settings are completed ones; `model` is there where
    `pattern.model` is.

    With a model, a request of `prompt + output` tokens has ceil(tokens / page) pages. With `access = block` each page
    is one operation: all layers of the fullest pipeline stage, as one rank keeps them. With `access = layer` each layer
    of each page is one. A batch is the operations of all `requests`.
    """
    if model is None:
        assert pattern.block_bytes is not None and pattern.batch is not None, "a checked and completed pattern"
        block, batch, requests = pattern.block_bytes, pattern.batch, 1
    else:
        sizes = geometry(model)
        if not isinstance(sizes, Geometry):
            return sizes
        block, batch = model_batch(pattern, sizes)
        assert pattern.requests is not None
        requests = pattern.requests
    if sweep.until == "steady" and pattern.processes > 1:
        # Each worker judges its own load; several would begin their windows at different times.
        return (
            Finding(
                "KVS114",
                "`until = steady` judges the load of one worker, and `processes` asks for several",
                "processes",
                "use `threads` for more lanes, or measure a fixed `time`",
            ),
        )
    if batch > _LARGEST or block > _LARGEST or batch * block > _LARGEST:
        at = None if model is None else "prompt"
        return (Finding("KVS107", f"{batch} blocks of {block} bytes are more than 2^63 - 1 bytes", at),)
    keys = batch
    if pattern.working_set_bytes is not None:
        keys = pattern.working_set_bytes // block
        if keys == 0:
            shown = Size()
            return (
                Finding(
                    "KVS205",
                    f"the working set of {shown.show(pattern.working_set_bytes)} holds no block of {shown.show(block)}",
                    "working_set",
                    "make it a multiple of the block; it is rounded down to whole blocks",
                ),
            )
    share = {"read": Fraction(1), "write": Fraction(0)}.get(pattern.op, pattern.reads_share)
    assert share is not None, "a checked pattern"
    return Work(
        op=cast(Operation, pattern.op),
        block_bytes=block,
        batch=batch,
        keys=keys,
        requests=requests,
        read_share=share,
        order=cast(Order, pattern.order),
        stride=pattern.stride,
        skew=pattern.skew,
        wait=cast(Literal["operation", "batch"], pattern.wait),
        depth=pattern.depth,
        threads=pattern.threads,
        processes=pattern.processes,
        cpus=pattern.cpus,
        numa_node=pattern.numa,
        rate_per_s=pattern.rate_per_s,
        arrival=cast(Literal["constant", "poisson"], pattern.arrival or "constant"),
        memory=cast(Literal["dram", "vram"], pattern.memory),
        warmup_ns=sweep.warmup_ns,
        time_ns=sweep.time_ns,
        operations=sweep.operations,
        until=cast(Literal["time", "steady"], sweep.until),
        cap_ns=sweep.cap_ns,
        precondition=sweep.precondition,
        durability="none" if pattern.op == "read" else cast(Durability, sweep.durability),
        ceiling=cast(Literal["none", "fio"], sweep.ceiling),
        timeout_ns=sweep.timeout_ns,
        verify=cast(Literal["full", "off"], sweep.verify),
        seed=sweep.seed,
    )


def model_batch(pattern: TransferSettings, sizes: Geometry) -> tuple[int, int]:
    """(bytes of a block, blocks of a batch) of a pattern with a model."""
    assert pattern.page_tokens is not None and pattern.prompt_tokens is not None, "a checked and completed pattern"
    assert pattern.output_tokens is not None and pattern.requests is not None
    pages = -(-(pattern.prompt_tokens + pattern.output_tokens) // pattern.page_tokens)
    layers = sizes.fullest_stage_layers
    page_of_layer = pattern.page_tokens * sizes.rank_layer_token_bytes
    if pattern.access == "layer":
        return page_of_layer, pattern.requests * pages * layers
    return page_of_layer * layers, pattern.requests * pages
