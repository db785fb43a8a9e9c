"""Packages that are installed for one test: a folder with their metadata and modules, on sys.path."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from kvscen.plugin.registry import registry

GOOD = """
from kvscen.plugin import Driver
import attrs

@attrs.frozen
class Settings:
    pass

class Good(Driver):
    name = "{name}"
    summary = "a good one"
    settings = Settings
"""


class Installed:
    """`package` adds a package to the folder; modules that tests import are forgotten by `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []
        sys.path.insert(0, str(folder))

    def package(
        self, name: str, entries: str | bytes, modules: dict[str, str] | None = None, version: str = "1.0"
    ) -> Path:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        text = entries if isinstance(entries, bytes) else f"[kvscen.drivers]\n{entries}\n".encode()
        (info / "entry_points.txt").write_bytes(text)
        for module, code in (modules or {}).items():
            (self.folder / f"{module}.py").write_text(code)
            self.modules.append(module)
        importlib.invalidate_caches()
        registry.cache_clear()
        return info

    def close(self) -> None:
        sys.path.remove(str(self.folder))
        for module in self.modules:
            sys.modules.pop(module, None)
        registry.cache_clear()
