"""KVS135: a value of an axis all of whose points are skipped is not measured."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.values import Value, show_value
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.point import Point


class SkippedValues(PointRule):
    code = "KVS135"
    finds = "A value of an axis that no point is left with, because `skip when` drops every one that has it."
    why = """
The axis promises rows that never come. Mostly the condition drops more than was meant: `or` instead of `and`, or a
condition on one axis where a combination of two was to be left out.
"""
    remedy = (
        "Take the value out of the axis, or narrow the condition: `skip when tier == slow and pages.requests == 100`."
    )

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        self.seen: set[tuple[str, Value]] = set()
        self.skips = any(skipped.sweep == sweep for skipped in subject.plan.skipped)

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        if self.skips:
            self.seen.update(point.axes.items())
        return ()

    def end(self) -> Iterator[Diagnostic]:
        lost: dict[tuple[str, Value], str] = {}
        for skipped in self.subject.plan.skipped:
            if skipped.sweep == self.sweep:
                for pair in skipped.axes.items():
                    if pair not in self.seen:
                        lost.setdefault(pair, skipped.condition)
        by_key: dict[str, list[tuple[Value, str]]] = {}
        for (key, value), condition in lost.items():
            by_key.setdefault(key, []).append((value, condition))
        for key, values in by_key.items():
            value, condition = values[0]
            more = f" (and of {len(values) - 1} more)" if len(values) > 1 else ""
            yield self.say(
                f"every point with `{key} = {show_value(value)}`{more} is skipped: `skip when {condition}`",
                self.place(key),
                help="take the value out of the axis, or narrow the condition",
            )
