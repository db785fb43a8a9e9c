"""What is said about a field."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import attrs

from kvscen.export.trial import Trial

Cell: TypeAlias = "int | float | str | bool | None"


@attrs.frozen
class Field:
    """One field, or several that are made alike: `{read,write}` in the path stands for either word, `{users}` for each
    kind of users; `value` is given those words in their order. `there`: what kv-cache.py writes. `source`: our columns,
    empty where there are none and the field is null. `here`: how ours differs, or why there is none."""

    path: str
    unit: str
    there: str
    source: str
    here: str = ""
    value: Callable[..., Cell] = lambda *_: None

    @property
    def is_null(self) -> bool:
        return not self.source

    def expand(self, trial: Trial) -> Iterator[tuple[str, Cell]]:
        """(path, value) of each field that this one stands for. Where there are no users, what has them is null."""
        above, of_users, _ = self.path.partition(".{users}")
        if of_users and not trial.users:
            yield above, None
            return
        choices = [
            [row["users"] for row in trial.users] if words == "users" else words.split(",")
            for words in re.findall(r"\{([^}]*)\}", self.path)
        ]
        template = re.sub(r"\{[^}]*\}", "{}", self.path)
        for words in itertools.product(*choices):
            yield template.format(*words), self.value(trial, *words)


def assemble(fields: Iterable[Field], trial: Trial) -> dict[str, Any]:
    """The object that the fields make: a dot in a path is a level of it."""
    document: dict[str, Any] = {}
    for field in fields:
        for path, value in field.expand(trial):
            *parents, name = path.split(".")
            place = document
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = value
    return document
