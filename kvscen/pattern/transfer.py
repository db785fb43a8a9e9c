"""The pattern `transfer`: blocks of one size, read or written, sized by a model's KV or by hand."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, cast

from kvscen.language.blocks import SweepSettings, TransferSettings
from kvscen.language.schema import Finding, Size
from kvscen.model.exact import ExactSize, exact_size
from kvscen.model.kvbench import KVBenchSize, kvbench_findings, kvbench_size
from kvscen.plan.point import Durability, ModelBlock, Operation, Order, Work

#: The most bytes or operations that a column of 64 bits can hold.
_LARGEST = 2**63 - 1


def work(
    pattern: TransferSettings, model: ModelBlock | None, sweep: SweepSettings
) -> tuple[Work | None, tuple[Finding, ...]]:
    """The numbers of one point, None where there is an error, and what is to be said about them. All settings are
    completed ones; `model` is there where `pattern.model` is.

    With a model, block and batch are what `sizing` asks for: kvscen.model.exact or kvscen.model.kvbench.
    """
    said: tuple[Finding, ...] = ()
    if model is None:
        assert pattern.block_bytes is not None and pattern.batch is not None, "a checked and completed pattern"
        block, batch, requests = pattern.block_bytes, pattern.batch, 1
    else:
        sizes, said = _sizes(pattern, model)
        if sizes is None:
            return None, said
        block, batch = sizes
        assert pattern.requests is not None
        requests = pattern.requests
    keys = pattern.keys or batch
    if pattern.working_set_bytes is not None:
        keys = pattern.working_set_bytes // block
    wrong = tuple(_wrong(pattern, sweep, block, batch, keys))
    if wrong:
        return None, (*said, *wrong)
    assert sweep.sync_timeout_ns is not None, "a completed sweep"
    share = {"read": Fraction(1), "write": Fraction(0)}.get(pattern.op, pattern.reads_share)
    assert share is not None, "a checked pattern"
    numbers = Work(
        op=cast("Operation", pattern.op),
        block_bytes=block,
        batch=batch,
        keys=keys,
        requests=requests,
        read_share=share,
        order=cast("Order", pattern.order),
        stride=pattern.stride,
        skew=pattern.skew,
        wait=cast('Literal["operation", "batch"]', pattern.wait),
        depth=pattern.depth,
        threads=pattern.threads,
        processes=pattern.processes,
        cpus=pattern.cpus,
        numa_node=pattern.numa,
        rate_per_s=pattern.rate_per_s,
        arrival=cast('Literal["constant", "poisson"]', pattern.arrival or "constant"),
        memory=cast('Literal["dram", "vram"]', pattern.memory),
        warmup_ns=sweep.warmup_ns,
        time_ns=sweep.time_ns,
        operations=sweep.operations,
        until=cast('Literal["time", "steady"]', sweep.until),
        cap_ns=sweep.cap_ns,
        precondition=sweep.precondition,
        durability="none" if pattern.op == "read" else cast("Durability", sweep.durability),
        ceiling=cast('Literal["none", "fio"]', sweep.ceiling),
        timeout_ns=sweep.timeout_ns,
        sync_timeout_ns=sweep.sync_timeout_ns,
        verify=cast('Literal["full", "off"]', sweep.verify),
        seed=sweep.seed,
    )
    return numbers, said


def _wrong(pattern: TransferSettings, sweep: SweepSettings, block: int, batch: int, keys: int) -> Iterator[Finding]:
    if sweep.until == "steady" and pattern.processes > 1:
        # Each worker judges its own load; several would begin their windows at different times.
        yield Finding(
            "KVS114",
            "`until = steady` judges the load of one worker, and `processes` asks for several",
            "processes",
            "use `threads` for more lanes, or measure a fixed `time`",
        )
    elif batch > _LARGEST or block > _LARGEST or batch * block > _LARGEST:
        at = None if pattern.model is None else "prompt"
        yield Finding("KVS107", f"{batch} blocks of {block} bytes are more than 2^63 - 1 bytes", at)
    elif keys == 0:
        assert pattern.working_set_bytes is not None, "a batch has at least one block"
        shown = Size()
        yield Finding(
            "KVS205",
            f"the working set of {shown.show(pattern.working_set_bytes)} holds no block of {shown.show(block)}",
            "working_set",
            "make it a multiple of the block; it is rounded down to whole blocks",
        )


def _sizes(pattern: TransferSettings, model: ModelBlock) -> tuple[tuple[int, int] | None, tuple[Finding, ...]]:
    """(bytes of a block, blocks of a batch) of a pattern with a model, None where there is an error, and what is to be
    said."""
    if pattern.sizing == "kvbench":
        size = kvbench_size(pattern, model)
        if not isinstance(size, KVBenchSize):
            return None, size
        return (size.block_bytes, size.batch), tuple(kvbench_findings(pattern, model, size))
    sizes = exact_size(pattern, model)
    if not isinstance(sizes, ExactSize):
        return None, sizes
    return (sizes.block_bytes, sizes.batch), ()
