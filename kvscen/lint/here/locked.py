"""KVS367: too little memory that may be locked."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kvscen.doctor import limits
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.here.base import HereRule


class Locked(HereRule):
    code = "KVS367"
    finds = """
With `--here`: less memory may be locked (`ulimit -l`) than the buffers take of a tier that registers them: those
with `registered = true`.
"""
    why = """
What is registered is locked. Beyond the limit the registration fails, and the points of the tier end as errors.
"""
    remedy = """
Raise the limit for your user in /etc/security/limits.conf (`memlock unlimited`), or use smaller buffers.
"""

    def check(self) -> Iterator[Diagnostic]:
        tiers = [tier for tier in self.machine.needs.tiers if getattr(tier.settings, "registered", False) is True]
        found = limits.locked_memory(self.machine.case)
        if tiers and found is not None and found.severity == "note":
            span = self.tier_span([tiers[0].name], "registered")
            yield from self.wrong(attrs.evolve(found, severity="problem"), span, "locked memory")
