"""Values that nobody has looked at yet.

A sweep of a million points cannot be made point by point. So the number that an axis gives is at first a sealed one: it
can be stored and handed on, and whoever looks at it, by a comparison, by arithmetic or by printing it, is stopped by
Unchosen. What comes out without a look is the same whatever the number is; what needs one is done again for each number
of the axis. Nothing has to be declared, and no driver can forget to.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NoReturn


class Unchosen(BaseException):
    """The value depends on an axis of which no row is chosen yet. No Exception: what catches the mistakes of a driver
    must not catch this."""

    def __init__(self, axis: int) -> None:
        super().__init__(axis)
        self.axis = axis


class Sealed:
    """Stands for what axis `axis` gives the path `key`, a whole number or a fraction. `is None` and `isinstance` see
    the number that it will be."""

    __slots__ = ("axis", "key", "kind")

    def __init__(self, axis: int, key: str, kind: type) -> None:
        object.__setattr__(self, "axis", axis)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "kind", kind)

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, "kind")
        _look(self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        _look(self)


def _look(sealed: Sealed, *others: object) -> NoReturn:
    raise Unchosen(object.__getattribute__(sealed, "axis"))


for _name in {name for kind in (int, Fraction, float) for name in dir(kind) if callable(getattr(kind, name))} - {
    *dir(object),
}:
    if _name.startswith("__"):
        setattr(Sealed, _name, _look)
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "hash", "bool", "repr", "str", "format", "reduce", "reduce_ex"):
    setattr(Sealed, f"__{_name}__", _look)


def placeholder(value: object) -> str | None:
    """What stands for a sealed value in a text, None of any other."""
    if type(value) is not Sealed:
        return None
    return f"\0{object.__getattribute__(value, 'key')}"
