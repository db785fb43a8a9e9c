"""`--budget 8h`, `--budget "2 TB"`, `--budget "1 %" --endurance 600TB`: what a plan may cost, as a command says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from kvscen.lint.rule import Budget

#: Words of time that people use on a command line, in seconds; those of the language among them.
_TIMES = {"ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "ms": Fraction(1, 1000)} | {
    name: Fraction(seconds) for name, seconds in {"s": 1, "min": 60, "h": 3600, "d": 86400}.items()
}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(\S+)\s*")


class BudgetError(ValueError):
    """A budget that cannot be read. The message says what would be one."""


def read_budget(budgets: Sequence[str], ratings: Sequence[str] = ()) -> Budget:
    """Raises BudgetError. A rating is `600TB`, or `disk=600TB` for one tier."""
    found: dict[str, int | Fraction] = {}
    for text in budgets:
        key, value = _read(text)
        if key in found:
            raise BudgetError(f"--budget {text}: there is another one of its kind")
        found[key] = value
    endurance: dict[str, int] = {}
    for rating in ratings:
        name, _, size = rating.rpartition("=")
        endurance[name] = size_of(rating, size)
    if "wear_share" in found and not endurance:
        raise BudgetError("--budget in % is of what the device is rated for: add --endurance 600TB, of its data sheet")
    return Budget(endurance=endurance, **found)  # type: ignore[arg-type]


def _read(text: str) -> tuple[str, int | Fraction]:
    match = _NUMBER.fullmatch(text)
    if match and match[2] in _TIMES:
        return "time_ns", int(Fraction(match[1]) * _TIMES[match[2]] * 10**9)
    if match and match[2] == "%":
        return "wear_share", Fraction(match[1]) / 100
    try:
        return "written_bytes", size_of(text, text)
    except BudgetError:
        raise BudgetError(
            f"--budget {text}: write a time such as 8h, a size such as 2TB, or a share such as 1% of --endurance"
        ) from None


def size_of(given: str, text: str) -> int:
    """`600TB`, `600 TBW` or `1.3 PB` in bytes: data sheets count in powers of 1000 and often write TBW. Raises
    BudgetError, with what was `given`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGTP]i?B)W?\s*", text)
    if not found or not float(found[1]):
        raise BudgetError(f"{given}: `{text}` is no size; write it as the data sheet does, such as 600TB or 1.3PB")
    power = "kMGTP".index(found[2][0]) + 1
    return int(Fraction(found[1]) * (1024 if "i" in found[2] else 1000) ** power)
