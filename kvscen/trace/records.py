"""The fields of a JSON record, checked one by one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

from kvscen.trace.errors import Place, TraceError

_LARGEST = 2**63 - 1


def record_of(value: Any, place: Place) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TraceError(f"{place}: a record in {{ }} is expected, not {_shown(value)}", "correct the file")
    return value


def whole(record: Mapping[str, Any], key: str, place: Place) -> int:
    """A whole number from 0 on. 12.0 is one."""
    value = _there(record, key, place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(place, key, value, "a whole number")
    if not 0 <= value <= _LARGEST:
        raise _wrong(place, key, value, "a number from 0 to 2^63 - 1")
    return value


def time_ns(record: Mapping[str, Any], key: str, unit_ns: int, place: Place) -> int:
    """A time from 0 on, in units of `unit_ns`."""
    value = _there(record, key, place)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(place, key, value, "a time as a number")
    if value < 0:
        raise _wrong(place, key, value, "a time from 0 on")
    nanoseconds = round(value * unit_ns)
    if nanoseconds > _LARGEST:
        raise _wrong(place, key, value, "a time within 292 years")
    return nanoseconds


def block_ids(record: Mapping[str, Any], key: str, place: Place) -> array[int]:
    """A list of 64-bit numbers. One from 2^63 on keeps its bits and becomes negative: ids are names, not numbers."""
    value = _there(record, key, place)
    if not isinstance(value, list):
        raise _wrong(place, key, value, "a list of block ids")
    try:
        return array("q", value)
    except OverflowError:
        pass
    except TypeError:
        wrong = next(item for item in value if not isinstance(item, int))
        raise _wrong(place, key, wrong, "whole numbers in its list") from None
    try:
        return array("q", [item - 2**64 if item > _LARGEST else item for item in value])
    except (OverflowError, TypeError):
        raise TraceError(f"{place}: `{key}` has a number of more than 64 bits", "correct the file") from None


def text(record: Mapping[str, Any], key: str, place: Place) -> str | None:
    """A text, None where there is none."""
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise _wrong(place, key, value, "a text")


def name(record: Mapping[str, Any], key: str, place: Place, required: bool = False) -> int | str | None:
    """Something that names a session or user: a text or a whole number, None where there is none."""
    value = _there(record, key, place) if required else record.get(key)
    if (value is None and not required) or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    raise _wrong(place, key, value, "a text or a whole number")


def _there(record: Mapping[str, Any], key: str, place: Place) -> Any:
    if key not in record:
        there = ", ".join(f"`{each}`" for each in list(record)[:8]) or "nothing"
        raise TraceError(f"{place}: `{key}` is missing; there is {there}", "correct the record, or name its --format")
    return record[key]


def _wrong(place: Place, key: str, value: Any, wanted: str) -> TraceError:
    return TraceError(f"{place}: `{key}` is {_shown(value)}, and {wanted} is expected", "correct the record")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
