"""KVS368: a driver that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.language.diagnose import Diagnostic
from kvscen.lint.here.base import HereRule


class Available(HereRule):
    code = "KVS368"
    finds = """
With `--here`: the driver of a tier says that the tier cannot be used on this machine, or does not answer.
"""
    why = "The points of the tier would end as `unavailable`: rows without figures, found when the night is over."
    remedy = "Do what the driver says, or leave the tier out on this machine: `--set blocks.tier=disk`."

    def check(self) -> Iterator[Diagnostic]:
        for tier in self.machine.needs.tiers:
            report = self.machine.look.ask(tier.driver, tier)
            if report.problem or not report.available.ok:
                remedy = report.remedy if report.problem else report.available.remedy
                yield self.say(
                    f"`{tier.name}` cannot be used here: {report.problem or report.available.reason}",
                    self.subject.scenario.blocks[tier.name].span,
                    help=remedy,
                )
