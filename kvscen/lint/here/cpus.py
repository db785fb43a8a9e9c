"""KVS366: too few CPUs."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor import cpu
from kvscen.language.diagnose import Diagnostic
from kvscen.lint.here.base import HereRule, first_sweep


class Cpus(HereRule):
    code = "KVS366"
    finds = """
With `--here`: a point with more lanes, `threads` x `processes`, than this machine or its control group gives CPUs.
"""
    why = """
Lanes that wait for a CPU measure the scheduler, not the storage. One lane keeps a deep queue full by itself.
"""
    remedy = "Use fewer `threads` and `processes` and a larger `depth`."

    def check(self) -> Iterator[Diagnostic]:
        yield from self.wrong(cpu.cpu_count(self.machine.case), first_sweep(self.subject))
