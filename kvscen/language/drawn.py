"""Settings whose values are drawn: a fixed value or a distribution, in the unit and within the limits of another type.

think_ns: Drawn = setting(DrawnFrom(Duration()), help="...")
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import attrs

from kvscen.language.schema import Measured, SettingType, Unfit
from kvscen.language.values import Distribution, Quantity, TraceFile, Value, describe, format_value

Law: TypeAlias = "Quantity | Distribution"


@attrs.frozen
class Drawn:
    """A law in base units, and how its setting holds what is drawn: times `scale`, rounded where `whole`, cut off at
    `minimum` and `maximum` (which are scaled)."""

    law: Law
    scale: int
    whole: bool
    minimum: int | Fraction
    maximum: int | Fraction | None


class DrawnFrom(SettingType):
    """A fixed value of a measured type, or a distribution of such values; held as a Drawn."""

    def __init__(self, item: Measured) -> None:
        self.item = item
        self.suffix = item.suffix

    def describe(self) -> str:
        return f"{self.item.describe()}, or a distribution of such"

    def fit(self, value: Value) -> Value:
        return value if isinstance(value, Distribution) else self.item.fit(value)

    def convert(self, value: Value) -> Drawn:
        item = self.item
        if isinstance(value, Distribution):
            self._check(value)
        else:
            item.convert(value)
            value = item.fit(value)
            assert isinstance(value, Quantity)
        return Drawn(value, item.scale, item.whole, item.minimum, item.maximum)

    def _check(self, law: Distribution) -> None:
        kind = law.kind
        if kind.percent or kind.dimension != self.item.dimension:
            found = f"`{law}`, which gives {describe(kind)}"
            raise Unfit(f"expected {self.item.noun}, found {found}", f"write {self.describe()}")
        if law.name in ("uniform", "empirical"):
            # Each of these can come out.
            for parameter in law.parameters if law.name == "uniform" else law.parameters[:1]:
                for value in parameter if isinstance(parameter, tuple) else (parameter,):
                    self.item.convert(value)
            return
        if law.name == "zipf":
            self.item.convert(Quantity(Fraction(1)))
            self.item.convert(kind)
            return
        scaled = kind.value * self.item.scale
        if scaled < self.item.minimum or (self.item.maximum is not None and scaled > self.item.maximum):
            most = "" if self.item.maximum is None else f" to {self.item.show(self.item.maximum)}"
            raise Unfit(f"`{law}` lies about `{kind}`, outside of {self.item.show(self.item.minimum)}{most}")

    def show(self, value: Drawn) -> str:
        return format_value(value.law)


class TraceText(SettingType):
    """`trace("file")`, held as a TraceFile."""

    def describe(self) -> str:
        return 'a trace such as `trace("requests.jsonl")`'

    def convert(self, value: Value) -> TraceFile:
        if isinstance(value, str):
            raise Unfit(
                f"expected a trace, found the text {format_value(value)}", f"write `trace({format_value(value)})`"
            )
        if not isinstance(value, TraceFile):
            raise Unfit(f"expected a trace, found {describe(value)}", f"write {self.describe()}")
        return value

    def show(self, value: Any) -> str:
        return format_value(value)
