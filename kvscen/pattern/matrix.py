"""The pattern `matrix`: bytes from rank to rank in each step, from files or from a model that prefill hands to
decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal, TypeAlias, cast

from kvscen.language.blocks import SweepSettings
from kvscen.language.matrix import MOST_RANKS, MOST_STEPS, MatrixSettings
from kvscen.language.schema import Finding
from kvscen.pattern.handoff import Handoff, handoff
from kvscen.pattern.prompts import normal_prompts
from kvscen.plan.point import ModelBlock, Work
from kvscen.plan.traffic import Flow, Step, Traffic

#: cells[i][j]: the bytes that rank i sends to rank j.
Cells: TypeAlias = tuple[tuple[int, ...], ...]
_LARGEST = 2**63 - 1


def work(
    pattern: MatrixSettings, model: ModelBlock | None, sweep: SweepSettings, matrices: Sequence[Cells]
) -> tuple[Work | None, tuple[Finding, ...]]:
    """The numbers of one point, None where there is an error, and what is to be said about them. All settings are
    completed ones; `model` is there where `pattern.model` is, `matrices` are the files' where `pattern.files` is, all
    of one size and none empty.
    """
    wrong = tuple(_not_for_a_matrix(sweep))
    if wrong:
        return None, wrong
    found = _of_files(pattern, matrices) if model is None else _of_model(pattern, model, sweep.seed)
    if not isinstance(found, Traffic):
        return None, found
    if found.nbytes > _LARGEST:
        return None, (Finding("KVS107", f"the steps send {found.nbytes} bytes, more than 2^63 - 1", "files"),)
    numbers = Work(
        op="write",
        block_bytes=max(flow.nbytes for step in found.steps for flow in step.flows),
        batch=max(len(step.flows) for step in found.steps),
        keys=found.ranks,
        read_share=Fraction(0),
        processes=found.ranks,
        warmup_ns=sweep.warmup_ns,
        time_ns=sweep.time_ns,
        operations=sweep.operations,
        timeout_ns=sweep.timeout_ns,
        verify=cast(Literal["full", "off"], sweep.verify),
        seed=sweep.seed,
        traffic=found,
    )
    return numbers, ()


def _not_for_a_matrix(sweep: SweepSettings) -> Iterator[Finding]:
    """Settings of a sweep that mean nothing where ranks write to each other's memory step by step."""
    asked = {
        "until": sweep.until != "time",
        "precondition": sweep.precondition > 0,
        "durability": sweep.durability != "none",
        "ceiling": sweep.ceiling != "none",
    }
    for setting, given in asked.items():
        if given:
            yield Finding(
                "KVS114",
                f"`{setting}` has no meaning for a `matrix`, whose ranks write to each other's memory step by step",
                setting,
                f"leave `{setting}` out, or give the matrix a sweep of its own",
            )


def _of_files(pattern: MatrixSettings, matrices: Sequence[Cells]) -> Traffic | tuple[Finding, ...]:
    flows = [
        tuple(Flow(i, j, nbytes) for i, row in enumerate(cells) for j, nbytes in enumerate(row) if nbytes)
        for cells in matrices
    ]
    compute = _compute(pattern, len(flows))
    if isinstance(compute, Finding):
        return (compute,)
    steps = tuple(Step(own, time_ns) for own, time_ns in zip(flows, compute, strict=True))
    return Traffic(len(matrices[0]), pattern.mode, steps)


def _of_model(pattern: MatrixSettings, model: ModelBlock, seed: int) -> Traffic | tuple[Finding, ...]:
    spread = handoff(pattern, model)
    if not isinstance(spread, Handoff):
        return spread
    assert pattern.requests and pattern.batch, "a completed pattern"
    count = -(-pattern.requests // pattern.batch)
    widest = "prefill_workers" if pattern.prefill_workers != 1 else "decode_workers"
    for what, number, most, at in (
        ("ranks", spread.ranks, MOST_RANKS, widest),
        ("steps", count, MOST_STEPS, "requests"),
    ):
        if number > most:
            return (
                Finding(
                    "KVS107",
                    f"{number:,} {what} are more than the {most:,} that a matrix has",
                    at if getattr(pattern, at) != 1 else "model",
                    f"use fewer {what}",
                ),
            )
    prompts = _prompts(pattern, seed)
    batches = [prompts[first : first + pattern.batch] for first in range(0, len(prompts), pattern.batch)]
    compute = _compute(pattern, count, [sum(batch) for batch in batches])
    if isinstance(compute, Finding):
        return (compute,)
    steps = (spread.step(i, batch, compute[i]) for i, batch in enumerate(batches))
    return Traffic(spread.ranks, pattern.mode, tuple(steps))


def _prompts(pattern: MatrixSettings, seed: int) -> tuple[int, ...]:
    """Tokens of each request's prompt."""
    assert pattern.prompt_tokens and pattern.requests, "a completed pattern"
    if pattern.prompt_spread_tokens is None:
        given = pattern.prompt_tokens
        return tuple(given[number % len(given)] for number in range(pattern.requests))
    return normal_prompts(
        pattern.requests,
        pattern.prompt_tokens[0],
        pattern.prompt_spread_tokens,
        pattern.prompt_least_tokens or 1,
        pattern.prompt_most_tokens,
        seed,
    )


def _compute(pattern: MatrixSettings, steps: int, tokens: Sequence[int] = ()) -> tuple[int, ...] | Finding:
    """How long the senders of each step compute before it, in ns. `tokens`: of the prompts of each step."""
    speed, given = pattern.prefill_speed_tokens_per_s, pattern.compute_ns
    if speed is not None:
        return tuple(round(count * 10**9 / speed) for count in tokens)
    if given is None or len(given) == 1:
        return (given[0] if given else 0,) * steps
    if len(given) != steps:
        return Finding(
            "KVS105",
            f"`compute` has {len(given)} times, and there are {steps} steps",
            "compute",
            "give one time for all steps, or a list with one for each",
        )
    return given
