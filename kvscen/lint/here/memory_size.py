"""KVS365: too little memory."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor import memory
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.here.base import HereRule, first_sweep


class Memory(HereRule):
    code = "KVS365"
    finds = """
With `--here`: a point whose tiers and buffers take more memory than is available on this machine, or to the control
group (container) that kvscen runs in.
"""
    why = "The worker would swap, and measure the swap device, or be killed."
    remedy = "Use a smaller `depth`, fewer `threads` or `processes`, a smaller block or `capacity`."

    def check(self) -> Iterator[Diagnostic]:
        found = memory.memory_size(self.machine.case)
        if found is not None and found.prevents:
            yield from self.wrong(found, first_sweep(self.subject))
