"""What prefill hands to decode: which rank sends how much of a model's KV to which.

A prefill worker keeps the KV of its requests, spread over tp x pp ranks: each pipeline stage has whole layers, and in a
stage each rank some KV heads of each layer (kvscen.model.geometry). A decode worker needs the same KV, spread over its
own tp x pp ranks. So a prefill rank sends to a decode rank the heads that both have, in the layers that both have.
Where several prefill ranks keep the same (more ranks than KV heads; the compressed vector of `mla`), the decode ranks
that need it are shared out among them, and each byte that a decode rank needs is sent to it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from kvscen.language.blocks import HeadsSettings
from kvscen.language.matrix import MatrixSettings
from kvscen.language.schema import Finding
from kvscen.model.geometry import Geometry, LayerKind, geometry, kinds_of, model_geometry, turns
from kvscen.plan.point import ModelBlock
from kvscen.plan.traffic import Flow, Step


@attrs.frozen
class Handoff:
    """The ranks of prefill come first, worker by worker, each stage by stage; then those of decode."""

    prefill: Geometry
    decode: Geometry
    prefill_workers: int
    decode_workers: int
    page_tokens: int

    @property
    def ranks(self) -> int:
        return self.prefill_workers * _size(self.prefill) + self.decode_workers * _size(self.decode)

    def step(self, number: int, prompts: Sequence[int], compute_ns: int) -> Step:
        """One step, with the KV of requests of these lengths: the workers take the steps in turn."""
        first = number % self.prefill_workers * _size(self.prefill)
        other = self.prefill_workers * _size(self.prefill) + number % self.decode_workers * _size(self.decode)
        pages = [sum(kind.pages(prompt, self.page_tokens) for prompt in prompts) for kind in self.prefill.kinds]
        sent: dict[tuple[int, int], int] = {}
        for kind, sender, receiver, page_bytes in self._shares():
            key = first + sender, other + receiver
            sent[key] = sent.get(key, 0) + page_bytes * pages[kind]
        return Step(tuple(Flow(*pair, nbytes) for pair, nbytes in sorted(sent.items())), compute_ns)

    def _shares(self) -> Iterator[tuple[int, int, int, int]]:
        """(kind, rank in its prefill worker, rank in its decode worker, bytes of a page) wherever both keep
        something."""
        common = _common_layers(self.prefill, self.decode)
        for number, kinds in enumerate(zip(self.prefill.kinds, self.decode.kinds, strict=True)):
            for stage, other, layers in common[number]:
                for sender, receiver, nbytes in _ranks(*kinds, self.prefill.tp, self.decode.tp, self.page_tokens):
                    yield (
                        number,
                        stage * self.prefill.tp + sender,
                        other * self.decode.tp + receiver,
                        layers * nbytes,
                    )


def handoff(pattern: MatrixSettings, model: ModelBlock) -> Handoff | tuple[Finding, ...]:
    """How prefill and decode spread the KV of a model, or why they cannot. Both are completed."""
    whole = model_geometry(model)
    if not isinstance(whole, Geometry):
        return whole
    for setting in ("tp", "pp"):
        if getattr(model.settings, setting) != 1:
            return (
                Finding(
                    "KVS114",
                    f"`{model.name}` has a `{setting}`, and the pattern says how prefill and decode spread it",
                    setting,
                    f"leave it out there, and set `prefill_{setting}` and `decode_{setting}`",
                ),
            )
    for kind in kinds_of(model):
        if isinstance(kind, HeadsSettings) and kind.scale_per == "token" and pattern.prefill_tp != pattern.decode_tp:
            return (
                Finding(
                    "KVS114",
                    f"`{model.name}` has a scale for all heads of a rank, and ranks of prefill and decode have "
                    "different heads: no scale could be handed over",
                    "decode_tp",
                    "let `prefill_tp` and `decode_tp` be equal, or use `scale_per = head`",
                ),
            )
    sides = []
    for side in ("prefill", "decode"):
        tp, pp = getattr(pattern, f"{side}_tp"), getattr(pattern, f"{side}_pp")
        found = geometry(*(attrs.evolve(kind, tp=tp, pp=pp) for kind in kinds_of(model)))
        if not isinstance(found, Geometry):
            return tuple(_of_side(finding, side) for finding in found)
        sides.append(found)
    assert pattern.prefill_workers and pattern.decode_workers and pattern.page_tokens, "a completed pattern"
    return Handoff(sides[0], sides[1], pattern.prefill_workers, pattern.decode_workers, pattern.page_tokens)


def _of_side(finding: Finding, side: str) -> Finding:
    """What is wrong with the `tp` or `pp` of prefill or decode."""
    if finding.setting not in ("tp", "pp"):
        return finding
    return attrs.evolve(
        finding,
        message=f"{side}: {finding.message}",
        setting=f"{side}_{finding.setting}",
        help=finding.help.replace(f"`{finding.setting}`", f"`{side}_{finding.setting}`"),
    )


def _size(side: Geometry) -> int:
    """Ranks of a worker."""
    return side.tp * len(side.stages)


def _common_layers(prefill: Geometry, decode: Geometry) -> list[list[tuple[int, int, int]]]:
    """For each kind of layers: (stage of prefill, stage of decode, how many of its layers both have)."""
    kinds = turns([kind.layers for kind in prefill.kinds])
    homes = [
        [stage for stage, layers in enumerate(side.stage_layers) for _ in range(layers)] for side in (prefill, decode)
    ]
    counts: list[dict[tuple[int, int], int]] = [{} for _ in prefill.kinds]
    for kind, *pair in zip(kinds, *homes, strict=True):
        key = pair[0], pair[1]
        counts[kind][key] = counts[kind].get(key, 0) + 1
    return [[(*pair, layers) for pair, layers in found.items()] for found in counts]


def _ranks(
    here: LayerKind, there: LayerKind, tp: int, other_tp: int, page_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """(rank of prefill, rank of decode, bytes of a page that the one sends to the other) in one layer.

    All bytes of a page lie in a row, head by head: a rank keeps a stretch of them, as do its replicas.
    """
    mine, theirs = here.rank_page_bytes(page_tokens), there.rank_page_bytes(page_tokens)
    for receiver in range(other_tp):
        group, replica = divmod(receiver, there.replicas)
        start = group * theirs
        end = start + theirs
        for first in range(0, tp, here.replicas):
            begin = first // here.replicas * mine
            shared = min(end, begin + mine) - max(start, begin)
            if shared > 0:
                yield first + replica * here.replicas // there.replicas, receiver, shared


__all__ = ["Handoff", "handoff"]
