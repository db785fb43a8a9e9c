"""The generated parts of docs/language.md: units, functions, codes and every block's settings, from their declarations.

`python -m kvscen.language.reference docs/language.md` writes them anew between their markers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kvscen.language.blocks import FAMILIES, PATTERN_TYPES, USER_TYPES, SweepSettings
from kvscen.language.codes import CODES
from kvscen.language.constructs import KINDS_OF_BLOCK, STATEMENTS, TOP, Statement
from kvscen.language.conversations import UsersSettings
from kvscen.language.functions import FUNCTIONS
from kvscen.language.schema import SettingInfo, Word, settings_of
from kvscen.language.values import NUMBER, UNITS
from kvscen.plugin.registry import DriverRef, registry

_MARKED = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def kinds() -> str:
    shipped = {"tier": tuple(ref.name for ref in _shipped_drivers())}
    rows = (
        f"| `{kind.name}` | {kind.about} | {_cell(kind.base)} | "
        f"{' '.join(f'`{name}`' for name in shipped.get(kind.name, kind.built_in))} |\n"
        for kind in KINDS_OF_BLOCK.values()
    )
    return _table("kind", "is", "its bases", "that come with it") + "".join(rows)


def top() -> str:
    return _statements(TOP)


def statements() -> str:
    return _statements(STATEMENTS)


def _statements(listed: Iterable[Statement]) -> str:
    return "".join(f"- {', '.join(f'`{usage}`' for usage in each.usages)}: {each.about}.\n" for each in listed)


def units() -> str:
    by_dimension: dict[str, list[str]] = {}
    for unit in UNITS.values():
        kind = "a percentage" if unit.percent else str(unit.dimension)
        by_dimension.setdefault(kind, []).append(f"`{unit.name}`")
    bare = f"| {NUMBER} | none |\n"
    return (
        _table("a quantity is", "units") + bare + "".join(f"| {k} | {' '.join(v)} |\n" for k, v in by_dimension.items())
    )


def functions() -> str:
    return "".join(f"- `{function.usage}`: {function.about}\n" for function in FUNCTIONS.values())


def codes() -> str:
    rows = (f"| [{c.code}](rules/{c.code}.md) | {c.severity.value} | {_cell(c.title)} |\n" for c in CODES.values())
    return _table("code", "", "what it finds") + "".join(rows)


def settings() -> str:
    return "".join(_sections())


def _sections() -> Iterator[str]:
    yield _section("Sweeps", SweepSettings, _about(SweepSettings))
    yield from _grouped("Models", FAMILIES)
    yield from _grouped("Patterns", PATTERN_TYPES)
    names = " and ".join(f"`{name}`" for name in USER_TYPES)
    yield _section(f"Users: {names}", UsersSettings, _about(UsersSettings))
    for ref in _shipped_drivers():
        driver = ref.load()
        yield _section(f"Tiers: `{driver.name}`", driver.settings, driver.summary)


def _shipped_drivers() -> list[DriverRef]:
    shipped = [ref for ref in registry().refs.values() if ref.distribution == "kvscen"]
    return sorted(shipped, key=lambda ref: ref.name)


def _grouped(title: str, declarations: Mapping[str, type]) -> Iterator[str]:
    """Built-ins that have the same settings share a table."""
    for declaration in dict.fromkeys(declarations.values()):
        names = [f"`{name}`" for name, other in declarations.items() if other is declaration]
        yield _section(f"{title}: {' and '.join(names)}", declaration, _about(declaration))


def _about(declaration: type) -> str:
    return (declaration.__doc__ or "").strip().split("\n\n")[0]


def _section(title: str, declaration: type, about: str) -> str:
    rows = "".join(_row(info) for info in settings_of(declaration).values())
    return f"### {title}\n\n{' '.join(about.split())}\n\n{_table('setting', 'value', 'default', '')}{rows}\n"


def _row(info: SettingInfo) -> str:
    if info.required:
        default = "required"
    elif info.default is None:
        default = ""
    else:
        default = f"`{info.type.show(info.default)}`"
    value = re.sub(r" \([^)]*\)", "", info.type.describe())
    if isinstance(info.type, Word):
        value = " ".join(f"`{word}`" for word in info.type.current)
    note = "" if info.varies else " (cannot be an axis)"
    return f"| `{info.name}` | {_cell(value)} | {_cell(default)} | {_cell(info.help + note)} |\n"


def _table(*heads: str) -> str:
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_PARTS: Mapping[str, Callable[[], str]] = {
    "kinds": kinds,
    "top": top,
    "statements": statements,
    "units": units,
    "functions": functions,
    "codes": codes,
    "settings": settings,
}


def filled(page: str) -> str:
    """The page with its generated parts as they are now."""
    return _MARKED.sub(lambda match: match[1] + _PARTS[match[2]]().rstrip("\n") + "\n" + match[3], page)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(filled(place.read_text(encoding="utf-8")), encoding="utf-8")
