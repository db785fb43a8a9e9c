"""KVS364: a data set that the page cache keeps."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor.case import Place
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.here.base import FolderRule, unusable
from kvscen.plan.needs import PathNeed
from kvscen.report.numbers import show_one


class Cached(FolderRule):
    code = "KVS364"
    settings = ("direct", "path", "filepath")
    finds = """
With `--here`: a tier without direct I/O whose blocks all fit into the memory of this machine, and are more than 1
GiB (below that [KVS315](KVS315.md) says so anywhere).
"""
    why = """
The page cache keeps what was just written, and answers the reads: the figures are those of memory, not of the
device.
"""
    remedy = "Say `direct = true`, or use a `working_set` of more than twice the memory."

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        total = self.machine.facts.memory.total_bytes
        if need.direct is False and total is not None and 1 << 30 < need.disk_bytes < total and not unusable(where):
            yield self.say(
                f"{need.path}: its {show_one(need.disk_bytes, 'B')} of blocks fit into the {show_one(total, 'B')} of "
                "memory here, and are read from there",
                span,
                help="set `direct = true`, or a `working_set` of more than twice the memory",
            )
