"""KVS408: a percentile of too few operations has no value, and its expectation fails."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.language.scenario import ExpectDef
from kvscen.lint.rule import ExpectRule, at
from kvscen.plan.find import counted, longer, operations_of
from kvscen.plan.point import Expectation, Point


class Percentile(ExpectRule):
    code = "KVS408"
    finds = """
An expectation of a percentile at a point of which it is known (by `operations`, a `rate` or a trace) that a trial
has fewer operations than the percentile [needs](../results.md): 1,000 for p99, 10,000 for p99.9.
"""
    why = """
A percentile is printed only where at least 10 operations lie above it. With fewer it is a matter of chance, so
there is none, and the expectation fails at the end of the run, however fast the storage was.
"""
    remedy = "Make the trials longer (`time`, `operations`), or judge by a lower percentile."

    def judge(self, point: Point, expected: Expectation, written: ExpectDef) -> Iterator[Diagnostic]:
        info = written.info
        had = None if info.percentile is None else operations_of(info, point.work)
        if had is None or had >= info.least_operations or "." in expected.measure:
            return
        yield self.say(
            f"`{expected.measure}` needs {info.least_operations:,} {counted(info)} in a trial, and there are "
            f"{int(had):,}",
            written.span,
            label=at(point),
            help=f"{longer(info, had, point.work)}, or judge by a lower percentile: it has no value here, and fails",
        )
