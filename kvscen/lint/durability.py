"""KVS404: `durability` says when writes are durable, and a sweep that only reads has none."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import Rule, Subject


def check(subject: Subject) -> Iterator[Diagnostic]:
    points = subject.plan.points
    for sweep in dict.fromkeys(point.sweep for point in points):
        own = [point for point in points if point.sweep == sweep]
        asked = {str(point.sweep_settings.durability) for point in own} - {"none"}
        if asked and all(point.work.op == "read" for point in own):
            yield diagnostic(
                "KVS404",
                f"all points of the sweep `{sweep}` read: `durability = {min(asked)}` changes nothing",
                subject.place(sweep, "durability"),
                help="leave it out, or measure writes: `op = write`",
            )


RULE = Rule("KVS404", check)
