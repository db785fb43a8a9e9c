"""What to write instead of words, units, quantities and ranges as other languages have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from kvscen.language.schema import Measured, SettingType
from kvscen.language.suggest import closest
from kvscen.language.values import BYTES, NUMBER, UNITS, Dimension

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


def with_unit(first: str, last: str) -> str:
    """The first of two quantities; a unit that only the last has is that of both."""
    return first + last.lstrip("0123456789._") if first.replace("_", "").replace(".", "").isdigit() else first


def range_call(first: str, last: str) -> str:
    return f"pow2({first}, {last})" if _doubles(first, last) else f"linear({first}, {last}, 5)"


def range_of(first: str, last: str) -> str:
    """Instead of `first..last`."""
    first = with_unit(first, last)
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


# ---- units


def thousands_help(value: Fraction, written: str, letter: str, target: SettingType | None) -> str:
    """Of `32k`, written so: what its setting takes; a `let` may be anything."""
    size = size_of(written[: -len(letter)].strip(), letter)
    if not isinstance(target, Measured):
        return f"{size}; a number that is no size in full: {in_full(value, letter, '')}"
    if target.dimension == BYTES:
        return size
    unit = target.only_unit
    if target.dimension != NUMBER and not unit:
        return f"write {target.describe()}"
    return f"write {in_full(value, letter, unit)}"


def unit_help(unit: str) -> tuple[str, str | None]:
    """What to write instead of an unknown unit, and the replacement where there is only one."""
    special = {
        "KB": ("write `KiB` (1024 bytes) or `kB` (1000 bytes)", None),
        "b": ("write `B` for bytes or `bit` for bits", None),
        "Kb": ("write `kbit` for bits or `KiB` for bytes", None),
        "Mb": ("write `Mbit` for bits or `MiB` for bytes", None),
        "Gb": ("write `Gbit` for bits or `GiB` for bytes", None),
        "Kb/s": ("write `kbit/s` for bits or `KiB/s` for bytes", None),
        "Mb/s": ("write `Mbit/s` for bits or `MiB/s` for bytes", None),
        "Gb/s": ("write `Gbit/s` for bits or `GiB/s` for bytes", None),
        "kb": ("write `KiB` (1024 bytes) or `kB` (1000 bytes)", None),
        "mb": ("write `MiB` (1024^2 bytes) or `MB` (1000^2 bytes)", None),
        "gb": ("write `GiB` (1024^3 bytes) or `GB` (1000^3 bytes)", None),
        "tb": ("write `TiB` (1024^4 bytes) or `TB` (1000^4 bytes)", None),
        "ops/s": ("write `/s`", "/s"),
        "req/s": ("write `/s`", "/s"),
        "requests/s": ("write `/s`", "/s"),
        "toks": ("write `tokens`", "tokens"),
        "toks/s": ("write `tokens/s`", "tokens/s"),
        "tok/s": ("write `tokens/s`", "tokens/s"),
        "Gbps": ("write `Gbit/s`", "Gbit/s"),
        "Mbps": ("write `Mbit/s`", "Mbit/s"),
        "µs": ("write `us`", "us"),
        "μs": ("write `us`", "us"),
        "sec": ("write `s`", "s"),
        "secs": ("write `s`", "s"),
        "second": ("write `s`", "s"),
        "seconds": ("write `s`", "s"),
        "msec": ("write `ms`", "ms"),
        "millis": ("write `ms`", "ms"),
        "usec": ("write `us`", "us"),
        "nsec": ("write `ns`", "ns"),
        "minutes": ("write `min`", "min"),
        "mins": ("write `min`", "min"),
        "hours": ("write `h`", "h"),
        "rps": ("write `/s`", "/s"),
        "qps": ("write `/s`", "/s"),
        "iops": ("write `/s`", "/s"),
        "IOPS": ("write `/s`", "/s"),
        "tok": ("write `tokens`", "tokens"),
        "tps": ("write `tokens/s`", "tokens/s"),
        "x": ("a factor is a number without a unit: leave `x` out", ""),
        "percent": ("write `%`", "%"),
        "m": ("write `min` for minutes or `ms` for milliseconds", None),
    }
    if unit in special:
        return special[unit]
    near = closest(unit, UNITS)
    if near:
        return f"did you mean `{near}`?", near
    return (
        "the units are `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`, `ms`, `s`, `tokens` and more: kvscen explain units",
        None,
    )


# ---- words

#: Words of other programs, the word of the language for each, and what more to write.
WORDS_MEANT: Mapping[str, tuple[str, str]] = {
    "randread": ("read", " with `order = random`"),
    "randwrite": ("write", " with `order = random`"),
    **dict.fromkeys(("randrw", "rw", "readwrite", "mix"), ("mixed", " with `reads = 50 %`")),
    **dict.fromkeys(("get", "load", "fetch", "pull", "lookup"), ("read", "")),
    **dict.fromkeys(("put", "set", "store", "save", "offload", "dump", "push"), ("write", "")),
    **dict.fromkeys(("seq", "linear"), ("sequential", "")),
    **dict.fromkeys(("rand", "uniform"), ("random", "")),
    **dict.fromkeys(("cpu", "host", "ram"), ("dram", "")),
    **dict.fromkeys(("gpu", "cuda", "hbm", "device"), ("vram", "")),
    **dict.fromkeys(("float16", "half"), ("fp16", "")),
    "bfloat16": ("bf16", ""),
    **dict.fromkeys(("fp8_e4m3", "fp8_e5m2", "e4m3"), ("fp8", "")),
}


def word_meant(name: str, words: Sequence[str]) -> str | None:
    word, more = WORDS_MEANT.get(name.lower(), ("", ""))
    return f"write `{word}`{more}" if word in words else None
