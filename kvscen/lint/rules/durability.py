"""KVS404: `durability` says when writes are durable, and a sweep that only reads has none."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.point import Point


class Durability(PointRule):
    code = "KVS404"
    finds = "A sweep with `durability = each` or `end` of which every point reads."
    why = """
The setting says when what is written is safe from a loss of power. Reads are not touched by it, and a reader of the
results might believe that they were.
"""
    remedy = "Leave `durability` out, or measure writes."

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        self.found: set[str] = set()
        self.writes = False

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        self.found.add(str(point.sweep_settings.durability))
        self.writes = self.writes or point.work.op != "read"
        return ()

    def end(self) -> Iterator[Diagnostic]:
        asked = self.found - {"none"}
        if asked and not self.writes:
            yield self.say(
                f"all points of the sweep `{self.sweep}` read: `durability = {min(asked)}` changes nothing",
                self.place("durability"),
                help="leave it out, or measure writes: `op = write`",
            )
