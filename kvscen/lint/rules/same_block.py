"""KVS420: writes that are in flight at once fall on the same blocks."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point
from kvscen.plugin.arena import buffers_for
from kvscen.plugin.contract import Tool

_MOST = 1 << 62


class SameBlock(PointRule):
    code = "KVS420"
    finds = """
A pattern that writes and has more operations in flight than it has blocks, without saying `keys`: `depth` x
`threads` x `processes` is more than `working_set` / `block`.
"""
    why = """
Several writes of one block are under way at the same time. File systems take them one after the other under a lock,
devices merge them in their cache, stores answer some of them from memory: it is contention that is measured, and no
KV cache is written so.
"""
    remedy = """
Give the pattern a `working_set` of many more blocks; its default is one batch. Where sharing a block is what is to
be measured, say so with `keys`.
"""

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work, settings = point.work, point.pattern.settings
        if point.pattern.type != "transfer" or work.op == "read" or settings.keys is not None or point.tier.virtual:
            return
        if isinstance(self.subject.scenario.drivers[point.tier.driver], Tool):
            return  # which blocks it touches is its own affair
        in_flight = work.threads * work.processes * buffers_for(work, _MOST)
        if work.keys < in_flight and self.first(point.pattern.name):
            name = point.pattern.name
            setting = "working_set" if settings.working_set_bytes is not None else "depth"
            if setting == "depth" and settings.depth is None:
                setting = "threads" if work.threads > 1 else "processes"
            yield self.say(
                f"{in_flight:,} operations are in flight on {work.keys:,} block{'s' if work.keys > 1 else ''}: several "
                "write the same one at once",
                self.place(f"{name}.{setting}"),
                label=at(point),
                help="give the pattern a larger `working_set`, or say with `keys` that blocks are shared",
            )
