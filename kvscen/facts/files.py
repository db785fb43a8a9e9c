"""Reading /proc, /sys and /dev under a root that may be another one than this machine's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs


@attrs.frozen
class Files:
    """The file system below `root`. Paths are absolute in it. Nothing raises: what cannot be read is None or empty."""

    root: Path = Path("/")

    def at(self, path: str | Path) -> Path:
        """Where a path of that machine is on this one."""
        path = Path(path)
        return path if path.is_relative_to(self.root) and self.root != Path("/") else self.root / str(path).lstrip("/")

    def read(self, path: str | Path) -> str | None:
        """The text of a file without its end."""
        try:
            return self.at(path).read_text("utf-8", "replace").strip()
        except (OSError, ValueError):
            return None

    def number(self, path: str | Path) -> int | None:
        """The whole number in a file."""
        text = self.read(path)
        try:
            return int(text) if text else None
        except ValueError:
            return None

    def flag(self, path: str | Path) -> bool | None:
        number = self.number(path)
        return None if number is None else bool(number)

    def lines(self, path: str | Path) -> list[str]:
        return (self.read(path) or "").splitlines()

    def exists(self, path: str | Path) -> bool:
        try:
            return self.at(path).exists()
        except OSError:
            return False

    def found(self, folder: str | Path, pattern: str) -> list[Path]:
        """The entries of a folder that match, in the order of the numbers in their names."""
        try:
            return sorted(self.at(folder).glob(pattern), key=_natural)
        except OSError:
            return []

    def link(self, path: str | Path) -> Path | None:
        """Where a link leads, as a path on this machine. None where there is none, or it leads out of the root."""
        try:
            real = self.at(path).resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        return real if real.is_relative_to(Path(os.path.realpath(self.root))) else None


def _natural(path: Path) -> list[tuple[int, str]]:
    """cpu2 before cpu10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def chosen(text: str | None) -> str | None:
    """The word in brackets: `always [madvise] never`."""
    return text.partition("[")[2].partition("]")[0] if text and "[" in text else text


def fields(lines: list[str], separator: str = ":") -> dict[str, str]:
    """`name: value` lines as a mapping; of one name the first."""
    found: dict[str, str] = {}
    for line in lines:
        name, mark, value = line.partition(separator)
        if mark:
            found.setdefault(name.strip(), value.strip())
    return found


def count_listed(text: str | None) -> int | None:
    """How many numbers a list such as `0-3,8` names."""
    if not text:
        return None
    total = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.strip().isdigit() or (last and not last.strip().isdigit()):
            return None
        total += int(last or first) - int(first) + 1
    return total
