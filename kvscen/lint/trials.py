"""KVS401: with fewer than three trials nothing can be said about the spread."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import Rule, Subject

#: The sample standard deviation of two values says little more than that they differ.
ENOUGH = 3


def check(subject: Subject) -> Iterator[Diagnostic]:
    fewest: dict[str, int] = {}
    for point in subject.plan.points:
        if point.tier.virtual and point.work.replay is not None:
            continue  # computed from the trace alone, every trial is the same
        fewest[point.sweep] = min(point.trials, fewest.get(point.sweep, ENOUGH))
    for sweep, trials in fewest.items():
        if trials < ENOUGH:
            yield diagnostic(
                "KVS401",
                f"{trials} trial{'s do' if trials > 1 else ' does'} not show how far the results of a point spread",
                subject.place(sweep, "trials"),
                help=f"take at least `trials = {ENOUGH}`; the default is 5",
            )


RULE = Rule("KVS401", check)
