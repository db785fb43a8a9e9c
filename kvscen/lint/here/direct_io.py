"""KVS363: no direct I/O."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor import place
from kvscen.doctor.case import Place
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.here.base import FolderRule, unusable
from kvscen.plan.needs import PathNeed


class DirectIo(FolderRule):
    code = "KVS363"
    settings = ("direct", "path", "filepath")
    finds = "With `--here`: a tier asks for direct I/O, and the file system of its folder has none."
    why = """
The points would end as `unavailable`, or, with `allow_buffered`, go through the page cache: then the figures are
those of memory.
"""
    remedy = "Name a `path` on another file system, or say `direct = false` and what you mean to measure."

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        if where is not None and need.direct and not unusable(where):
            yield from self.wrong(place.direct_io(where), span, need.path)
