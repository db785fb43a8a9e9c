"""KVS210: with more ranks than KV heads, tensor parallelism keeps each head several times."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.blocks import HeadsSettings
from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.rule import Rule, Subject
from kvscen.model.geometry import kinds_of


def check(subject: Subject) -> Iterator[Diagnostic]:
    # Axes and `--set` may change both numbers: each place is reported with the worst that the plan makes of it.
    worst: dict[tuple[str, Span], tuple[int, int]] = {}
    for point in subject.plan.points:
        if point.model is None:
            continue
        for kind in kinds_of(point.model):
            if isinstance(kind, HeadsSettings) and kind.tp > kind.kv_heads:
                tp, heads = kind.tp, kind.kv_heads
                key = point.model.name, subject.place(point.sweep, f"{point.model.name}.tp")
                worst[key] = max(worst.get(key, (0, 0)), (tp, heads), key=lambda pair: pair[0] / max(pair[1], 1))
    for (model, span), (tp, heads) in worst.items():
        yield diagnostic(
            "KVS210",
            f"`{model}` has {heads} KV heads for {tp} ranks: each head is kept by {tp // heads} of them",
            span,
            label=f"{tp} ranks",
            help=f"all ranks together keep {tp // heads} times the KV; "
            f"with `tp = {heads}` or less every byte is kept once",
        )


RULE = Rule("KVS210", check)
