"""KVS361: a data set that does not fit."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor import place
from kvscen.doctor.case import Place
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.here.base import FolderRule, unusable
from kvscen.plan.needs import PathNeed


class FreeSpace(FolderRule):
    code = "KVS361"
    finds = """
With `--here`: the blocks of a tier, less what its folder holds already, together with those of other tiers on the
same file system, are more than its free space.
"""
    why = """
Laying out the blocks would fill the file system and fail, for this run and for everybody else on the machine.
"""
    remedy = "Free some space, name a `path` on a larger file system, or use a smaller `working_set`."

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        if where is not None and not unusable(where):
            yield from self.wrong(place.free_space(where), span, need.path)
