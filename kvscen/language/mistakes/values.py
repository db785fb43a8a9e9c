"""Mistakes in values: ranges and quantities as other languages write them."""

from __future__ import annotations

import re
from fractions import Fraction

from kvscen.language.codes import diagnostic
from kvscen.language.diagnose import Diagnostic, Fix, Span
from kvscen.language.instead import THOUSANDS, in_full, range_call, range_of, with_unit
from kvscen.language.mistakes.wrong import Wrong
from kvscen.language.values import UNITS


def dotted_range(wrong: Wrong) -> Diagnostic | None:
    """`4 KiB..16 MiB`, `[1 .. 64]`, `[4 KiB, 8 KiB, ..., 16 MiB]`."""
    i = wrong.at
    if wrong.text(i) != "." or wrong.text(i + 1) != "." or not wrong.adjacent(i):
        return None
    last = i + 1
    while wrong.text(last + 1) == "." and wrong.adjacent(last):
        last += 1
    before, after = _quantity_before(wrong, i - 1), _quantity_after(wrong, last + 1)
    if wrong.text(i - 1) == ",":
        before = _quantity_before(wrong, i - 2)
    if wrong.text(last + 1) == ",":
        after = _quantity_after(wrong, last + 2)
    if before is None or after is None:
        return None
    opened = wrong.depth(i)
    if opened and wrong.text(opened[-1]) == "[":
        before = before if wrong.text(i - 1) != "," else (opened[-1] + 1, before[1])
    return _range(wrong, before, after, "a range is not written with dots")


def range_in_words(wrong: Wrong) -> Diagnostic | None:
    """`4 KiB to 16 MiB`, `4 KiB : 16 MiB`."""
    i = wrong.at if wrong.text(wrong.at) in ("to", "until", "through", ":") else wrong.at - 1
    if wrong.text(i) not in ("to", "until", "through", ":") or "in" not in [word.text for word in wrong.words[:i]]:
        return None
    before, after = _quantity_before(wrong, i - 1), _quantity_after(wrong, i + 1)
    if before is None or after is None:
        return None
    return _range(wrong, before, after, f"a range is not written with `{wrong.text(i)}`")


def _range(wrong: Wrong, before: tuple[int, int], after: tuple[int, int], message: str) -> Diagnostic:
    if wrong.start == "value":  # of `--set`
        help = "`--set` fixes one value; a sweep varies it, with `in`"
        return diagnostic("KVS027", message, wrong.span(before[0], after[1]), help=help)
    first, last = wrong.span(*before).text.partition(",")[0], wrong.span(*after).text
    if "in" not in [word.text for word in wrong.words[: before[0]]]:
        first, last = with_unit(first, last), last
        help = f"in a sweep `in {range_call(first, last)}` varies it; where it is drawn: `uniform({first}, {last})`"
        return diagnostic("KVS027", message, wrong.span(before[0], after[1]), help=help)
    return diagnostic(
        "KVS027",
        message,
        wrong.span(before[0], after[1]),
        help=range_of(first, last),
    )


def _quantity_before(wrong: Wrong, last: int) -> tuple[int, int] | None:
    """The words of the quantity that ends here."""
    if wrong.kind(last) == "number":
        return last, last
    first = last
    while wrong.text(first) in ("/", "%") or wrong.kind(first) == "name":
        first -= 1
    if wrong.kind(first) == "number" and wrong.span(first + 1, last).text in UNITS:
        return first, last
    return None


def _quantity_after(wrong: Wrong, first: int) -> tuple[int, int] | None:
    """The words of the quantity that begins here."""
    if wrong.kind(first) != "number":
        return None
    for last in (first + 3, first + 2, first + 1):
        if last < len(wrong.words) and wrong.span(first + 1, last).text in UNITS:
            return first, last
    return first, first


def shortened(wrong: Wrong) -> Diagnostic | None:
    """`1k tokens`: the grammar takes `k` for the unit and stops at `tokens`."""
    i = wrong.at
    letter, number = wrong.text(i - 1), wrong.text(i - 2)
    if letter not in THOUSANDS or wrong.kind(i - 2) != "number" or wrong.text(i) not in UNITS:
        return None
    if not re.fullmatch(r"[0-9_]{1,15}(\.[0-9]{1,6})?", number):  # 1e999999999 is never made
        return None
    unit = _unit_at(wrong, i)
    span = Span(wrong.source, wrong.words[i - 2].start, wrong.words[i].start + len(unit))
    full = in_full(Fraction(number.replace("_", "")), letter, unit)
    return diagnostic("KVS027", f"`{number}{letter}` is not a number", span, help=f"write {full}")


def _unit_at(wrong: Wrong, index: int) -> str:
    """The unit that begins with a word which is one: `tokens/s` is three."""
    longer = wrong.span(index, index + 2).text
    return longer if longer in UNITS else wrong.text(index)


def in_words(wrong: Wrong) -> Diagnostic | None:
    """`80 % of 4 GiB`, `1 GiB per second`, `00:01:30`."""
    i = wrong.at
    if wrong.text(i) == "per" and wrong.text(i - 1) in UNITS:
        written = wrong.span(i - 2, i - 1).text
        help = f"write `{written}/s`" if f"{wrong.text(i - 1)}/s" in UNITS else "a rate is written `100 /s`"
        return diagnostic("KVS020", "a unit is one word", wrong.span(i), help=help)
    if wrong.text(i) == ":" and wrong.kind(i - 1) == wrong.kind(i + 1) == "number" and wrong.adjacent(i):
        return diagnostic(
            "KVS027", "a time is a number with a unit", wrong.span(i - 1, i + 1), help="write `90 s` or `1 min`"
        )
    if wrong.text(i) != "of" or wrong.text(i - 1) != "%":
        return None
    of = _quantity_after(wrong, i + 1)
    share = wrong.span(i - 2, i - 1).text
    whole = "..." if of is None else wrong.span(*of).text
    return diagnostic("KVS020", "a share is a product", wrong.span(i), help=f"write `{share} * {whole}`")


def unit_of_all(wrong: Wrong) -> Diagnostic | None:
    """`[4, 64] KiB`, `pow2(4, 64) KiB`."""
    i = wrong.at
    if wrong.text(i - 1) not in ("]", ")") or wrong.text(i) not in UNITS:
        return None
    opening = _opening(wrong, i - 1)
    if opening is None:
        return None
    unit = _unit_at(wrong, i)
    end = wrong.words[i].start + len(unit)
    first = opening - 1 if wrong.text(opening) == "(" and wrong.kind(opening - 1) == "name" else opening
    span = Span(wrong.source, wrong.words[first].start, end)
    counted = wrong.text(first) in ("linear", "log")  # the last of their values is a count
    numbers = [n for n in range(opening + 1, i - 1) if wrong.kind(n) == "number"]
    if any(wrong.kind(n) != "number" and wrong.text(n) != "," for n in range(opening + 1, i - 1)) or not numbers:
        return None
    spaced = [f"{wrong.text(n)} {unit}" for n in numbers]
    if counted and len(numbers) == 3:
        spaced[-1] = wrong.text(numbers[-1])
    opened, closed = wrong.span(first, opening).text, wrong.text(i - 1)
    mended = f"{opened}{', '.join(spaced)}{closed}"
    return diagnostic(
        "KVS027",
        f"each number has a unit of its own, and `{unit}` stands behind "
        + ("the list" if wrong.text(opening) == "[" else "the bracket"),
        span,
        help=f"write `{mended}`",
        fix=Fix(span, mended),
    )


def _opening(wrong: Wrong, closing: int) -> int | None:
    depth = 0
    for i in range(closing, -1, -1):
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(wrong.text(i), 0)
        if depth == 0:
            return i
    return None
