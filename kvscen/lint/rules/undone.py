"""KVS423: a choice that its own value undoes."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point


class Undone(PointRule):
    code = "KVS423"
    finds = """
`op = mixed` with `reads = 100 %` or `0 %`, `order = zipf` with `skew = 0`, `order = strided` with `stride = 1`.
"""
    why = """
The table says `mixed`, `zipf` or `strided` of a load that is none: someone who filters the results by that word
compares it with others that are. An axis that ends at such a value is better cut short there.
"""
    remedy = "Say what it is: `op = read`, `order = random`, `order = sequential`."

    def see(self, point: Point) -> Iterator[Diagnostic]:
        settings, name = point.pattern.settings, point.pattern.name
        if point.pattern.type != "transfer":
            return
        cases = (
            (settings.op == "mixed" and settings.reads_share == 1, "reads", "all operations of it read", "op = read"),
            (settings.op == "mixed" and settings.reads_share == 0, "reads", "none of it reads", "op = write"),
            (settings.order == "zipf" and settings.skew == 0, "skew", "no block is more popular", "order = random"),
            (
                settings.order == "strided" and settings.stride == 1,
                "stride",
                "the next block is next",
                "order = sequential",
            ),
        )
        for wrong, setting, why, plain in cases:
            if wrong and self.first(f"{name}.{setting}"):
                yield self.say(
                    f"this is `{plain}` by another name: {why}",
                    self.place(f"{name}.{setting}"),
                    label=at(point),
                    help=f"write `{plain}`",
                )
