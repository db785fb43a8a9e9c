"""What to write instead of quantities and ranges as other languages have them."""

from __future__ import annotations

from fractions import Fraction

from kvscen.language.values import UNITS, Dimension

#: The letters that stand for thousands elsewhere, and their power.
THOUSANDS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}

_SIZES = {1: ("KiB", "kB"), 2: ("MiB", "MB"), 3: ("GiB", "GB"), 4: ("TiB", "TB")}


def in_full(number: Fraction, letter: str, unit: str) -> str:
    """Instead of `32k tokens`, or of `32k` where the unit is none: both that it may mean."""
    tail = f" {unit}" if unit else ""
    meant = [number * base ** THOUSANDS[letter] for base in (1000, 1024)]
    return " or ".join(f"`{each.numerator:_}{tail}`" for each in meant if each.denominator == 1) or "it in full"


def size_of(number: str, letter: str) -> str:
    """Instead of the size `64k`, or `1m`."""
    letter = letter if letter == "k" else letter.upper()
    binary, decimal = _SIZES[THOUSANDS[letter]]
    power = THOUSANDS[letter]
    exponent = f"^{power}" if power > 1 else ""
    return f"write `{number} {binary}` (1024{exponent} bytes) or `{number} {decimal}` (1000{exponent} bytes)"


def range_of(first: str, last: str) -> str:
    """Instead of `first..last`; a unit that only the last has is that of both."""
    if first.replace("_", "").replace(".", "").isdigit():
        first += last.lstrip("0123456789._")
    ways = [f"`linear({first}, {last}, 5)` for 5 values at equal distances"]
    if _doubles(first, last):
        ways.insert(0, f"`pow2({first}, {last})` to double from one to the other")
    else:
        ways.append(f"`log({first}, {last}, 5)` at equal ratios")
    return f"write {', '.join(ways)}, or name all values: [{first}, {last}]"


def _doubles(first: str, last: str) -> bool:
    a, b = _read(first), _read(last)
    if a is None or b is None or a[1] != b[1] or a[0] <= 0:
        return False
    ratio = b[0] / a[0]
    return ratio.denominator == 1 and ratio > 1 and ratio.numerator.bit_count() == 1


def _read(text: str) -> tuple[Fraction, Dimension | None] | None:
    """A quantity as it is written, in base units."""
    unit = text.lstrip("0123456789._")
    try:
        number = Fraction(text[: len(text) - len(unit)].replace("_", ""))
    except ValueError:
        return None
    known = UNITS.get(unit.strip())
    if unit.strip() and known is None:
        return None
    return (number, None) if known is None else (number * known.factor, known.dimension)
