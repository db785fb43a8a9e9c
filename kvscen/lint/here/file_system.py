"""KVS362: a file system that is not the device's."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from kvscen.doctor import place
from kvscen.doctor.case import Place
from kvscen.language.diagnose import Diagnostic, Span
from kvscen.lint.here.base import FolderRule, unusable
from kvscen.plan.needs import PathNeed


class FileSystem(FolderRule):
    code = "KVS362"
    finds = """
With `--here`: the folder of a tier is on a file system in memory (tmpfs), of a container (overlay), of the host of
a virtual machine (9p, virtiofs), in user space (FUSE), or, where direct I/O is asked for, on a network share (NFS,
CIFS...).
"""
    why = """
What is measured is not the device. A tmpfs takes O_DIRECT and copies memory; an overlay copies a whole file at its
first write; a share answers from the memory of its server, whatever this machine bypasses.
"""
    remedy = """
Name a `path` on the device that is to be measured; into a container mount a volume. Where that file system is what
is to be measured, allow it with that reason.
"""

    def of(self, need: PathNeed, where: Place | None, span: Span) -> Iterator[Diagnostic]:
        if where is None or unusable(where):
            return
        found = place.file_system(where)
        if found is not None and found.severity == "note" and need.direct and where.files.type in place.NETWORK:
            found = attrs.evolve(found, severity="problem")
        yield from self.wrong(found, span, need.path)
