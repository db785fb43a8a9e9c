"""KVS210: with more ranks than KV heads, tensor parallelism keeps each head several times."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.blocks import HeadsSettings
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.rule import PointRule, Subject
from kvscen.model.geometry import kinds_of
from kvscen.plan.point import Point


class Replication(PointRule):
    code = "KVS210"
    finds = "A model with fewer KV heads than tensor-parallel ranks (`tp`)."
    why = """
A head cannot be split, so each is kept by `tp / kv_heads` ranks. All ranks together keep that many times the KV:
more bytes are written and read than the model has, and a capacity holds fewer tokens.
"""
    remedy = """
Choose `tp` up to the number of KV heads, or keep it where the deployment is really like that: the sizes that are
measured are those of such ranks.
"""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        # Axes and `--set` may change both numbers: each place is reported with the worst that the plan makes of it.
        self.worst: dict[tuple[str, Span], tuple[int, int]] = {}

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        if point.model is not None:
            for kind in kinds_of(point.model):
                if isinstance(kind, HeadsSettings) and kind.tp > kind.kv_heads:
                    self._keep(point.model.name, kind.tp, kind.kv_heads)
        return ()

    def _keep(self, model: str, tp: int, heads: int) -> None:
        key = model, self.place(f"{model}.tp")
        before = self.worst.get(key, (0, 0))
        self.worst[key] = max(before, (tp, heads), key=lambda pair: pair[0] / max(pair[1], 1))

    def end(self) -> Iterator[Diagnostic]:
        for (model, span), (tp, heads) in self.worst.items():
            yield self.say(
                f"`{model}` has {heads} KV heads for {tp} ranks: each head is kept by {tp // heads} of them",
                span,
                label=f"{tp} ranks",
                help=f"all ranks together keep {tp // heads} times the KV; "
                f"with `tp = {heads}` or less every byte is kept once",
            )
