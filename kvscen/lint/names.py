"""Which names a scenario uses: in values, conditions and bases, in its own text and in the files that it uses."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from kvscen.language import syntax
from kvscen.language.scenario import AllOf, AnyOf, Bound, NotOf, Scenario, SweepDef, Test
from kvscen.lint.rule import Subject


@functools.lru_cache(maxsize=1)
def names_used(subject: Subject) -> frozenset[str]:
    """Names that some value, condition, base or `--set` names."""
    scenario = subject.scenario
    found = {name for _, expr in expressions(scenario) for name in names_of(expr)}
    for chain in (item.chain for group in (scenario.blocks, scenario.sweeps) for item in group.values()):
        found.update(chain[1:])
    for _, shown in subject.plan.pins:
        found.update(re.findall(r"\w+", shown))
    return frozenset(found)


def names_of(expr: syntax.Expr) -> Iterator[str]:
    return (node.path.parts[0] for node in syntax.nodes_below(expr) if isinstance(node, syntax.Name))


def expressions(scenario: Scenario) -> Iterator[tuple[str, syntax.Expr]]:
    """Every value that is written, with the name of what it belongs to."""
    for name, definition in scenario.lets.items():
        yield name, definition.expr
    for name, block in scenario.blocks.items():
        yield from ((name, assigned.expr) for assigned in block.settings.values())
    for name, sweep in scenario.sweeps.items():
        yield from ((name, expr) for expr in _of_sweep(sweep))


def _of_sweep(sweep: SweepDef) -> Iterator[syntax.Expr]:
    yield from (assigned.expr for assigned in sweep.assigned.values())
    yield from (axis.values for axis in sweep.axes)
    for skip in sweep.skips:
        yield from (test.expr for test in tests_of(skip.condition))
    expects = [*sweep.expects, *(() if sweep.find is None else sweep.find.conditions)]
    for expect in expects:
        yield expect.value
        if expect.when is not None:
            yield from (test.expr for test in tests_of(expect.when))
    if sweep.find is not None and sweep.find.share is not None:
        yield sweep.find.share


def tests_of(condition: Bound) -> Iterator[Test]:
    match condition:
        case Test():
            yield condition
        case AllOf() | AnyOf():
            for item in condition.items:
                yield from tests_of(item)
        case NotOf():
            yield from tests_of(condition.item)
