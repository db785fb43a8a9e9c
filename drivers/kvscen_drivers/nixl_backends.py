"""The name of a plugin of NIXL's, as scenarios write it: what the drivers `nixl` and `nixlbench` have in common."""

from __future__ import annotations

from typing import Any

from kvscen.plugin import SettingType, String, Unfit


class BackendName(SettingType):
    """One of the backends that a driver knows, as a bare word, or the name of another plugin in quotes."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def describe(self) -> str:
        return "one of " + ", ".join(f"`{word}`" for word in self.words) + ', or another plugin in quotes (`"MEMKV"`)'

    def convert(self, value: Any) -> str:
        name = getattr(value, "name", value)
        if not isinstance(name, str) or (name is not value and name not in self.words):
            raise Unfit("expected the name of a backend", f"write {self.describe()}")
        if not name.isidentifier():
            raise Unfit(f'"{name}" is no name of a backend', f"write {self.describe()}")
        return name

    def show(self, value: str) -> str:
        return value if value in self.words else String().show(value)
