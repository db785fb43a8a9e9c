"""The values of the language: exact quantities with a dimension, and how they are printed.

A quantity is an exact rational in base units (bytes, seconds, tokens) with a dimension. Nothing is rounded on the way
from the text to a driver: a setting that needs a whole number refuses another one.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TypeAlias

import attrs


@attrs.frozen
class Dimension:
    """Exponents of the base units. `Dimension()` is a bare number."""

    bytes: int = 0
    seconds: int = 0
    tokens: int = 0

    def __mul__(self, other: Dimension) -> Dimension:
        return Dimension(self.bytes + other.bytes, self.seconds + other.seconds, self.tokens + other.tokens)

    def __truediv__(self, other: Dimension) -> Dimension:
        return Dimension(self.bytes - other.bytes, self.seconds - other.seconds, self.tokens - other.tokens)

    def __str__(self) -> str:
        return _DIMENSION_NAMES.get(self) or _spell(self)


NUMBER = Dimension()
BYTES = Dimension(bytes=1)
TIME = Dimension(seconds=1)
TOKENS = Dimension(tokens=1)
RATE = Dimension(seconds=-1)
BANDWIDTH = Dimension(bytes=1, seconds=-1)
TOKEN_RATE = Dimension(tokens=1, seconds=-1)
BYTES_PER_TOKEN = Dimension(bytes=1, tokens=-1)

_DIMENSION_NAMES = {
    NUMBER: "a number",
    BYTES: "a size in bytes",
    TIME: "a time",
    TOKENS: "a number of tokens",
    RATE: "a rate per second",
    BANDWIDTH: "a bandwidth",
    TOKEN_RATE: "a rate of tokens",
    BYTES_PER_TOKEN: "bytes per token",
}


def _spell(dim: Dimension) -> str:
    parts = [("B", dim.bytes), ("s", dim.seconds), ("tokens", dim.tokens)]
    return " ".join(f"{n}^{e}" if e != 1 else n for n, e in parts if e)


@attrs.frozen
class Unit:
    """A unit of the language: its name, its dimension and how many base units it is."""

    name: str
    dimension: Dimension
    factor: Fraction
    percent: bool = False


def _units() -> dict[str, Unit]:
    units: dict[str, Unit] = {}

    def add(name: str, dim: Dimension, factor: Fraction | int, percent: bool = False) -> None:
        units[name] = Unit(name, dim, Fraction(factor), percent)

    add("%", NUMBER, Fraction(1, 100), percent=True)
    sizes: dict[str, Fraction] = {"B": Fraction(1)}
    for power, prefix in enumerate(("K", "M", "G", "T", "P"), start=1):
        sizes[f"{prefix}iB"] = Fraction(1024**power)
        sizes[f"{'k' if prefix == 'K' else prefix}B"] = Fraction(1000**power)
    for power, prefix in enumerate(("", "k", "M", "G", "T")):
        sizes[f"{prefix}bit"] = Fraction(1000**power, 8)
    for name, factor in sizes.items():
        add(name, BYTES, factor)
        add(f"{name}/s", BANDWIDTH, factor)
    for name, factor in {
        "ns": Fraction(1, 10**9),
        "us": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
    }.items():
        add(name, TIME, factor)
    add("/s", RATE, 1)
    for name in ("token", "tokens"):
        add(name, TOKENS, 1)
        add(f"{name}/s", TOKEN_RATE, 1)
    return units


#: Every unit of the language by its name.
UNITS: dict[str, Unit] = _units()

# The units in which a value of each dimension is printed: the one with the shortest number is taken, the earlier of
# equals.
_PRINT_UNITS: dict[Dimension, tuple[str, ...]] = {
    BYTES: ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB", "B"),
    BANDWIDTH: (
        "TiB/s",
        "GiB/s",
        "MiB/s",
        "KiB/s",
        "TB/s",
        "GB/s",
        "Gbit/s",
        "MB/s",
        "Mbit/s",
        "kB/s",
        "kbit/s",
        "B/s",
    ),
    TIME: ("s", "ms", "us", "ns"),
    TOKENS: ("tokens",),
    TOKEN_RATE: ("tokens/s",),
    RATE: ("/s",),
}


@attrs.frozen
class Quantity:
    """An exact number with a dimension, in base units (bytes, seconds, tokens).

    `percent` remembers that the value was written with `%`: a setting that is a share asks for it. `loose` marks a
    value that comes out of a range or a draw: where a whole number is needed it is rounded to the nearest, ties to
    even.
    """

    value: Fraction
    dimension: Dimension = NUMBER
    percent: bool = False
    loose: bool = attrs.field(default=False, eq=False, repr=False)

    @classmethod
    def of(cls, number: int | str | Fraction, unit: str | None = None) -> Quantity:
        """`Quantity.of("2.5", "MiB")`. KeyError for a unit that the language does not have."""
        if unit is None:
            return cls(Fraction(number))
        known = UNITS[unit]
        return cls(Fraction(number) * known.factor, known.dimension, known.percent)

    @property
    def is_count(self) -> bool:
        return self.dimension == NUMBER and not self.percent

    def __str__(self) -> str:
        return format_quantity(self)


@attrs.frozen
class Symbol:
    """A bare word that is a value: a word of a setting's list (`read`, `fp8`) or the name of a block."""

    name: str

    def __str__(self) -> str:
        return self.name


@attrs.frozen
class Distribution:
    """What values are drawn from: a function's name with its parameters, quantities or (of `empirical`) lists of them.
    What is drawn has the dimension of its first parameter."""

    name: str
    parameters: tuple[Quantity | tuple[Quantity, ...], ...]

    @property
    def kind(self) -> Quantity:
        """A quantity of the dimension of what is drawn."""
        first = self.parameters[0]
        return first[0] if isinstance(first, tuple) else first

    def __str__(self) -> str:
        return f"{self.name}({', '.join(format_value(parameter) for parameter in self.parameters)})"


@attrs.frozen
class TraceFile:
    """`trace("file")`: the name as it is written, and the path, which is relative to the file that it is written in."""

    written: str
    path: str

    def __str__(self) -> str:
        return f"trace({format_value(self.written)})"


@attrs.frozen
class SecretFile:
    """`secret("file")`: where a secret is, as a TraceFile says it. What is in it is read by the worker alone."""

    written: str
    path: str

    def __str__(self) -> str:
        return f"secret({format_value(self.written)})"


#: What an expression evaluates to.
Value: TypeAlias = "Quantity | str | bool | Symbol | Distribution | TraceFile | SecretFile | tuple[Value, ...]"


def _decimal(value: Fraction, digits: int) -> str | None:
    """The exact decimal with at most `digits` digits after the point, or None where there is none."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = value * 10**digits
    if scaled.denominator != 1:
        return None
    sign = "-" if scaled < 0 else ""
    whole, part = divmod(abs(scaled.numerator), 10**digits)
    text = f"{part:0{digits}d}".rstrip("0") if digits else ""
    return f"{sign}{whole}.{text}" if text else f"{sign}{whole}"


@functools.lru_cache(maxsize=16_384)  # plans spell the same few over and over
def format_quantity(quantity: Quantity) -> str:
    """The shortest exact spelling; it parses back to the same quantity."""
    if quantity.percent:
        return _exact(quantity.value * 100, "%")
    if quantity.dimension == NUMBER:
        return _exact(quantity.value, None)
    units = _PRINT_UNITS.get(quantity.dimension)
    if units is None:
        return f"{_exact(quantity.value, None)} {quantity.dimension}"
    if not quantity.value:
        return f"0 {units[-1]}"
    spelled: list[tuple[str, str]] = []
    for name in units:
        scaled = quantity.value / UNITS[name].factor
        text = _decimal(scaled, 3)
        if text is not None and abs(scaled) >= 1:
            spelled.append((text, name))
    if spelled:
        text, name = min(spelled, key=lambda pair: len(pair[0]))
        return f"{text} {name}"
    name = units[-1]
    return _exact(quantity.value / UNITS[name].factor, name)


def _exact(value: Fraction, unit: str | None) -> str:
    tail = f" {unit}" if unit else ""
    for digits in range(13):
        text = _decimal(value, digits)
        if text is not None:
            return text + tail
    # The whole part stands apart, so that no number in the spelling is larger than the value.
    whole, rest = divmod(value.numerator, value.denominator)
    part = f"{rest}{tail} / {value.denominator}"
    return f"({whole}{tail} + {part})" if whole else f"({part})"


def format_value(value: Value) -> str:
    """A value as the language spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    return str(value)


def is_long(spelling: str) -> bool:
    """Whether the exact spelling of a quantity is a sum with a fraction, as of a step of `log`: nobody reads it."""
    return spelling.startswith("(")


def show_value(value: Value) -> str:
    """A value for people: as the language spells it, or to five digits where that is a sum with a fraction."""
    text = format_value(value)
    if not isinstance(value, Quantity) or not is_long(text):
        return text
    if value.percent:
        return f"{float(value.value * 100):.5g} %"
    names = _PRINT_UNITS.get(value.dimension)
    if names is None:
        return f"{float(value.value):.5g}"
    fitting = [name for name in names if abs(value.value) >= UNITS[name].factor]
    unit = max(fitting, key=lambda name: UNITS[name].factor) if fitting else names[-1]
    return f"{float(value.value / UNITS[unit].factor):.5g} {unit}"


def describe(value: Value) -> str:
    """A value's kind in a few words: "a size in bytes"."""
    if isinstance(value, bool):
        return f"`{format_value(value)}`"
    if isinstance(value, Quantity):
        return "a percentage" if value.percent else str(value.dimension)
    if isinstance(value, Symbol):
        return f"the name `{value.name}`"
    if isinstance(value, Distribution):
        return f"the distribution `{value.name}`"
    if isinstance(value, TraceFile):
        return "a trace"
    if isinstance(value, SecretFile):
        return "a secret"
    return "a text" if isinstance(value, str) else "a list"
