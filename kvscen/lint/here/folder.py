"""KVS360: a folder that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator

from kvscen.doctor import place
from kvscen.doctor.case import Place
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.here.base import FolderRule
from kvscen.plan.needs import PathNeed


class Folder(FolderRule):
    code = "KVS360"
    finds = """
With `--here`: the folder of a tier that does not exist and cannot be made, is a file, is on a file system that is
mounted read-only, may not be written by this user, or does not answer.
"""
    why = """
Every point of the tier would end as an error. A missing parent is mostly a disk that is not mounted: making it
would measure the disk of the operating system.
"""
    remedy = "Mount the disk, have the folder made for you, or name another `path`."

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        if where is None:
            why = self.machine.facts.unreadable.get(need.path, "it could not be looked at")
            yield self.say(f"{need.path}: {why}", span, help="see whether it is mounted and its server is up")
            return
        yield from self.wrong(place.folder(where), span, need.path)
