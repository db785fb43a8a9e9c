"""KVS314: a write through the page cache that nothing makes durable is a copy in memory."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.cached import BufferedRule
from kvscen.lint.rule import at
from kvscen.plan.point import Point, Tier


class BufferedWrites(BufferedRule):
    code = "KVS314"
    finds = """
A tier with `direct = false` that is written to, in a sweep without `durability`. A sweep that compares it with
direct I/O is let be.
"""
    why = """
Such a write ends when the block is copied into the page cache. The kernel writes it to the device later, or never,
if the file is deleted before: the figure is that of a copy in memory, often ten times what the device takes.
"""
    remedy = """
Measure `direct = true` (the default), or make what is written durable within the time: `durability = end`, or
`each`. Where the copy is what is to be measured, allow it with that reason.
"""

    def of(self, point: Point, tier: Tier) -> Iterator[Diagnostic]:
        if point.work.op != "read" and point.work.durability == "none" and self.first(tier.name):
            yield self.say(
                "what is written through the page cache is in memory when the write ends",
                self.place(f"{tier.name}.direct"),
                label=at(point),
                help="write `direct = true`, or make it durable within the time: `durability = end` in the sweep",
            )
