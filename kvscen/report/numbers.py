"""Numbers for people: one unit and one number of decimals for a column, chosen from its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

import attrs

#: What a column that could not be measured shows.
NOTHING = "–"

#: Units of each kind of column, smallest first: the name and how many of the column's unit it is.
_LADDERS: Mapping[str, tuple[tuple[str, Fraction], ...]] = {
    "B": tuple((name, Fraction(1024**power)) for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))),
    "B/s": tuple(
        (name, Fraction(1024**power)) for power, name in enumerate(("B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"))
    ),
    "ns": (("ns", Fraction(1)), ("us", Fraction(1000)), ("ms", Fraction(10**6)), ("s", Fraction(10**9))),
}


@attrs.frozen
class Scale:
    """How the values of one column are printed: in `unit`, each divided by `factor`, with `decimals`."""

    unit: str
    factor: Fraction
    decimals: int

    def digits_for(self, values: Iterable[float | int | None]) -> Scale:
        """The same unit, with as many decimals as the smallest of these values needs for three digits."""
        scaled = sorted(abs(value) / float(self.factor) for value in values if value)
        if not scaled or all(value.is_integer() for value in scaled):
            return attrs.evolve(self, decimals=0)
        return attrs.evolve(self, decimals=min(3, max(0, 2 - math.floor(math.log10(scaled[0])))))

    def show(self, value: float | int | None) -> str:
        if value is None:
            return NOTHING
        return f"{float(value / self.factor) if self.factor != 1 else value:,.{self.decimals}f}"


def scale_for(values: Iterable[float | int | None], unit: str | None) -> Scale:
    """The scale for a column: the largest unit in which no value falls below 1, and three digits of the smallest."""
    present = sorted(abs(value) for value in values if value)
    ladder = _LADDERS.get(unit or "", (("" if unit in (None, "1", "operations") else str(unit), Fraction(1)),))
    name, factor = ladder[0]
    for candidate in ladder:
        if present and present[0] >= candidate[1]:
            name, factor = candidate
    return Scale(name, factor, 0).digits_for(present)


def show_one(value: float | int | None, unit: str | None) -> str:
    """One value with its unit, three digits: `231 MiB/s`, `1.25 ms`."""
    if value is None:
        return NOTHING
    scale = scale_for([value], unit)
    text = scale.show(value)
    if "." in text and unit in ("B", "B/s"):
        text = text.rstrip("0").rstrip(".")
    return f"{text} {scale.unit.removeprefix('1')}".strip()


def show_percent(share: float | int | None) -> str:
    return NOTHING if share is None else f"{share * 100:.3g} %"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """How long something takes, to the eye: "1 min 05 s"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
