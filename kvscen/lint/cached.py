"""Which tiers of a sweep go through the page cache, for the rules that warn of it."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.rule import PointRule, Subject
from kvscen.plan.cost import each_tier
from kvscen.plan.needs import path_of
from kvscen.plan.point import Point, Tier


class BufferedRule(PointRule):
    """Of tiers with files whose settings say that direct I/O is not wanted. A sweep that has direct I/O as well
    compares the two, and nothing is said of it."""

    def __init__(self, subject: Subject, sweep: str) -> None:
        super().__init__(subject, sweep)
        self.found: dict[object, Diagnostic] = {}
        self.compares = False

    def see(self, point: Point) -> tuple[Diagnostic, ...]:
        for tier in each_tier(point.tier):
            direct = getattr(tier.settings, "direct", None)
            if path_of(tier) is not None and direct is not None:
                self.compares = self.compares or direct
                if not direct:
                    for item in self.of(point, tier):
                        self.found.setdefault(item.span, item)
        return ()

    def of(self, point: Point, tier: Tier) -> Iterator[Diagnostic]:
        raise NotImplementedError

    def end(self) -> Iterator[Diagnostic]:
        return iter(() if self.compares else self.found.values())
