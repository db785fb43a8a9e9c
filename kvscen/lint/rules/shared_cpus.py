"""KVS421: more lanes than CPUs were given to them."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, at
from kvscen.plan.point import Point


class SharedCpus(PointRule):
    code = "KVS421"
    finds = "A pattern whose lanes, `threads` x `processes`, are more than the CPUs that it names with `cpus`."
    why = """
Lanes are put on the CPUs in turn, one each. Those that share one wait for each other: the scheduler is measured as
well as the storage.
"""
    remedy = "Name as many `cpus` as there are lanes, or use fewer lanes."

    def see(self, point: Point) -> Iterator[Diagnostic]:
        work = point.work
        lanes = work.threads * work.processes
        if work.cpus is not None and lanes > len(work.cpus) and self.first(point.pattern.name):
            yield self.say(
                f"{lanes} lanes share {len(work.cpus)} CPU{'s' if len(work.cpus) > 1 else ''}",
                self.place(f"{point.pattern.name}.cpus"),
                label=at(point),
                help="name as many `cpus` as there are lanes, or use fewer lanes",
            )
