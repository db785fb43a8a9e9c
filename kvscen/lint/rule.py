"""What a rule is made of: a code and a function from a scenario that has no errors to warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import attrs

from kvscen.language import syntax
from kvscen.language.diagnose import Diagnostic, Source, Span
from kvscen.language.scenario import Scenario
from kvscen.language.syntax import Document
from kvscen.plan.point import Plan


@attrs.frozen(eq=False)
class Subject:
    """What a rule looks at: a scenario, the document of its own file, and the plan that the scenario comes to.

    Of a large plan, `whole`, the points of `plan` stand for all: going through them is always cheap.
    """

    scenario: Scenario
    document: Document
    plan: Plan
    whole: Plan = attrs.field(default=attrs.Factory(lambda self: self.plan, takes_self=True))

    @property
    def source(self) -> Source:
        return self.document.source

    def place(self, sweep: str, key: str) -> Span:
        """Where a sweep's points take `key` (`trials`, `llama.tp`) from: an axis, a setting of the sweep or of the
        block, else the name of the block or sweep."""
        block, _, setting = key.rpartition(".")
        if block not in self.scenario.blocks:
            return self._in_sweep(sweep, key) or self.scenario.sweeps[sweep].span
        for name in self.scenario.blocks[block].chain:
            found = self._in_sweep(sweep, f"{name}.{setting}")
            if found is not None:
                return found
            owner = self.scenario.blocks.get(name)
            if owner is not None and setting in owner.settings:
                return owner.settings[setting].path_span
        return self.scenario.blocks[block].span

    def _in_sweep(self, sweep: str, key: str) -> Span | None:
        levels = [self.scenario.sweeps[name] for name in self.scenario.sweeps[sweep].chain]
        for level in levels:
            for axis in level.axes:
                for target, span in zip(axis.targets, axis.path_spans, strict=True):
                    if target.key == key:
                        return span
        return next((level.assigned[key].path_span for level in levels if key in level.assigned), None)


def nodes_in(document: Document) -> Iterator[Any]:
    """Every node of a file's syntax tree, in the order of the text."""
    pending: list[object] = list(reversed(document.items))
    while pending:
        node = pending.pop()
        if isinstance(node, tuple):
            pending.extend(reversed(node))
        elif type(node).__module__ == syntax.__name__ and attrs.has(type(node)):
            yield node
            fields = attrs.fields(cast(Any, type(node)))
            pending.extend(reversed([getattr(node, field.name) for field in fields]))


@attrs.frozen
class Rule:
    """`code` is the one of kvscen.language.codes that the rule reports."""

    code: str
    check: Callable[[Subject], Iterable[Diagnostic]]

    def __call__(self, subject: Subject) -> Iterator[Diagnostic]:
        for found in self.check(subject):
            assert found.code == self.code, f"the rule for {self.code} reports {found.code}"
            yield found
