"""What each word means that a scenario, a diagnostic or a table has: all of it from the declarations."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from kvscen.explain import language, results, settings
from kvscen.explain.meaning import Meaning
from kvscen.language.suggest import closest
from kvscen.plugin.registry import registry

__all__ = ["Meaning", "groups", "meanings", "near", "words"]

#: The groups in the order of the list, and what stands for those that are too long for it.
_LONG = frozenset({"settings", "words", "models", "measures", "columns", "columns of drivers", "codes", "units"})


@functools.cache
def _all() -> tuple[Meaning, ...]:
    installed = registry()
    owners = list(settings.owners(installed))
    drivers = {name: found for name in installed.names() if (found := settings.driver_of(installed, name))}
    return (
        *language.kinds(installed.names()),
        *language.statements(),
        *settings.drivers(installed),
        *settings.built_ins(),
        *settings.settings(owners),
        *settings.words(owners),
        *language.functions(),
        *language.units(),
        *language.models(),
        *results.measures(),
        *results.statistics(),
        *results.statuses(),
        *results.tables(),
        *results.columns(),
        *results.driver_measures(drivers),
        *language.codes(),
    )


def meanings(word: str) -> tuple[Meaning, ...]:
    """Everything that a word means, however it is spelled; empty where it means nothing."""
    asked = word.strip().strip("`")
    exact = tuple(found for found in _all() if asked in found.names)
    if exact:
        return exact
    wanted = _bare(asked)
    return tuple(found for found in _all() if any(_bare(name) == wanted for name in found.names))


def near(word: str) -> str | None:
    """The word that was probably meant."""
    return closest(word, words())


def words() -> Iterator[str]:
    """Every word that means something, as it is written."""
    return iter(dict.fromkeys(name for found in _all() for name in found.names))


def groups() -> dict[str, tuple[Meaning, ...]]:
    """What can be asked, by group."""
    grouped: dict[str, list[Meaning]] = {}
    for found in _all():
        grouped.setdefault(found.group, []).append(found)
    return {group: tuple(found) for group, found in grouped.items()}


def is_long(group: str) -> bool:
    return group in _LONG


def _bare(word: str) -> str:
    return word.casefold().replace("-", "_")
