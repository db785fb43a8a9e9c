"""KVS402: what is drawn at random should be drawn from a seed that stands in the file."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import Rule, Subject


def check(subject: Subject) -> Iterator[Diagnostic]:
    pinned = dict(subject.plan.pins)
    for sweep in dict.fromkeys(point.sweep for point in subject.plan.points):
        if not subject.scenario.writes(sweep, "seed") and f"{sweep}.seed" not in pinned:
            yield diagnostic(
                "KVS402",
                f"sweep `{sweep}` does not say its seed",
                subject.scenario.sweeps[sweep].span,
                help="add `seed = 1`: the order of the trials and everything random is drawn from it",
            )


RULE = Rule("KVS402", check)
