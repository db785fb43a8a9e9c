"""A capacity as people write it: blocks, a share of the trace's unique blocks, bytes, or no limit."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

import attrs

from kvscen.language.suggest import closest
from kvscen.language.values import BYTES, UNITS
from kvscen.predict.errors import PredictionError

_FORMS = "write blocks (20000), a share of the unique blocks (10%), bytes (512 GiB), or `none` for no limit"
_WRITTEN = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z%]*)")
_BYTE_UNITS = [unit.name for unit in UNITS.values() if unit.dimension == BYTES]


@attrs.frozen
class Capacity:
    """`value` is in blocks, a share, or bytes; with `none` there is no limit. `text` is as it was written."""

    text: str
    kind: Literal["blocks", "share", "bytes", "none"]
    value: Fraction = Fraction(0)

    def blocks(self, unique_blocks: int, block_bytes: int | None) -> int | None:
        """Whole blocks, rounded down; None without limit. Raises PredictionError for less than one, and where bytes are
        given and `block_bytes` is not."""
        if self.kind == "none":
            return None
        if self.kind == "bytes":
            if block_bytes is None:
                raise PredictionError(
                    f"how many blocks `{self.text}` holds depends on how large one is",
                    "name the model with --model, or give --block-bytes",
                )
            whole = self.value // block_bytes
        else:
            whole = (self.value * unique_blocks if self.kind == "share" else self.value) // 1
        if whole < 1:
            one = f", which has {block_bytes:,} bytes" if self.kind == "bytes" else ""
            few = f" of the {unique_blocks:,} unique blocks" if self.kind == "share" else ""
            raise PredictionError(f"a capacity of `{self.text}`{few} is less than one block{one}", "give a larger one")
        return whole


def parse_capacity(text: str) -> Capacity:
    """Raises PredictionError."""
    written = text.strip()
    if written == "none":
        return Capacity(written, "none")
    number, unit = _split(written, "capacity", _FORMS)
    if not number:
        raise PredictionError(f"a capacity of `{written}` is less than one block", "give a larger one")
    if unit == "%":
        return Capacity(written, "share", number / 100)
    if unit in ("", "block", "blocks"):
        if number.denominator != 1:
            raise PredictionError(f"`{written}` is not a whole number of blocks", _FORMS)
        return Capacity(written, "blocks", number)
    return Capacity(written, "bytes", number * _bytes_of(unit, written))


def parse_bytes(text: str) -> int:
    """A size of at least one byte, in whole bytes. Raises PredictionError."""
    forms = "write a number with a unit, as in 2.5 MiB"
    number, unit = _split(text.strip(), "size", forms)
    if not unit:
        raise PredictionError(f"the size `{text}` has no unit", forms)
    size = number * _bytes_of(unit, text)
    if size.denominator != 1 or size < 1:
        raise PredictionError(f"the size `{text}` is not a whole number of bytes from 1 on", forms)
    return size.numerator


def _split(written: str, what: str, remedy: str) -> tuple[Fraction, str]:
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise PredictionError(f"`{written}` is no {what}", remedy)
    return Fraction(found[1].replace("_", "")), found[2]


def _bytes_of(unit: str, text: str) -> Fraction:
    if unit not in _BYTE_UNITS:
        near = closest(unit, _BYTE_UNITS)
        raise PredictionError(
            f"`{text}` has no unit of bytes: `{unit}`",
            f"did you mean `{near}`?" if near else f"the units are {', '.join(_BYTE_UNITS)}",
        )
    return UNITS[unit].factor
