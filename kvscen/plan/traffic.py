"""Traffic from rank to rank, in plain numbers: what a pattern of the type `matrix` comes to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import attrs

Mode: TypeAlias = Literal["isolated", "sequence"]

#: Transfers begin at a multiple of this in the memory of either side: two never share a cache line.
GRAIN_BYTES = 64


class Flow(NamedTuple):
    """What one rank sends to one other (or to itself) in a step: one transfer."""

    sender: int
    receiver: int
    nbytes: int


@attrs.frozen
class Step:
    """What is sent together, by sender, then receiver. Its senders compute for `compute_ns` before it."""

    flows: tuple[Flow, ...]
    compute_ns: int = 0

    @property
    def nbytes(self) -> int:
        return sum(flow.nbytes for flow in self.flows)

    @property
    def senders(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(flow.sender for flow in self.flows))

    @property
    def receivers(self) -> tuple[int, ...]:
        return tuple(sorted({flow.receiver for flow in self.flows}))

    def placed(self) -> Iterator[tuple[Flow, int, int]]:
        """Each flow with the offsets at which it begins in its sender's memory and in its receiver's."""
        out: dict[int, int] = {}
        into: dict[int, int] = {}
        for flow in self.flows:
            here, there = out.get(flow.sender, 0), into.get(flow.receiver, 0)
            yield flow, here, there
            size = -(-flow.nbytes // GRAIN_BYTES) * GRAIN_BYTES
            out[flow.sender], into[flow.receiver] = here + size, there + size


@attrs.frozen
class Traffic:
    """The steps of a pattern, among ranks 0 to `ranks` - 1. Their memory is used again by each step."""

    ranks: int
    mode: Mode
    steps: tuple[Step, ...]

    @property
    def nbytes(self) -> int:
        """What all ranks send in all steps, once each."""
        return sum(step.nbytes for step in self.steps)

    @property
    def transfers(self) -> int:
        return sum(len(step.flows) for step in self.steps)

    def passes_for(self, operations: int) -> int:
        """How often all steps are gone through for at least so many transfers."""
        return -(-operations // self.transfers)

    @property
    def compute_ns(self) -> int:
        """How long the rank that computes most does so in all steps: a sequence takes no less."""
        spent: dict[int, int] = {}
        for step in self.steps if self.mode == "sequence" else ():
            for sender in step.senders:
                spent[sender] = spent.get(sender, 0) + step.compute_ns
        return max(spent.values(), default=0)

    def outbox_bytes(self, rank: int) -> int:
        """The memory that a rank sends from."""
        return _memory(self)[0][rank]

    def inbox_bytes(self, rank: int) -> int:
        """The memory of a rank that others write to."""
        return _memory(self)[1][rank]

    @property
    def memory_bytes(self) -> int:
        """Of all ranks together."""
        return sum(map(sum, _memory(self)))


@functools.lru_cache(maxsize=64)
def _memory(traffic: Traffic) -> tuple[tuple[int, ...], tuple[int, ...]]:
    out, into = [0] * traffic.ranks, [0] * traffic.ranks
    for step in traffic.steps:
        for flow, here, there in step.placed():
            out[flow.sender] = max(out[flow.sender], here + flow.nbytes)
            into[flow.receiver] = max(into[flow.receiver], there + flow.nbytes)
    return tuple(out), tuple(into)
