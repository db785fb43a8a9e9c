"""Ranges: functions that give the values of an axis."""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from fractions import Fraction

import attrs

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.operands import quantity_of
from kvscen.language.values import Quantity, Value, describe

LONGEST_LIST = 100_000


def pow2(expr: syntax.Call, arguments: Sequence[Value]) -> Value:
    first, last = _ends(expr, arguments)
    if first.value <= 0 or last.value < first.value:
        raise problem("KVS109", "`pow2` goes up from a value above zero", expr.span, help="write `pow2(4 KiB, 64 MiB)`")
    values = [first.value]
    while values[-1] * 2 <= last.value:
        values.append(values[-1] * 2)
    if values[-1] != last.value:
        end = attrs.evolve(first, value=values[-1])
        after = attrs.evolve(first, value=values[-1] * 2)
        raise problem(
            "KVS109",
            f"doubling from `{first}` does not reach `{last}`",
            expr.arguments[1].span,
            help=f"end the range at `{end}` or at `{after}`",
        )
    return _range(first, values)


def linear(expr: syntax.Call, arguments: Sequence[Value]) -> Value:
    first, last = _ends(expr, arguments)
    count = _count(expr, arguments)
    step = (last.value - first.value) / (count - 1)
    return _range(first, [first.value + i * step for i in range(count)])


def log(expr: syntax.Call, arguments: Sequence[Value]) -> Value:
    """Equal ratios. Decimal's `ln` and `exp` are correctly rounded, so that every machine computes the same digits; 30
    of the 50 are kept, so that a step that is exact comes out exact."""
    first, last = _ends(expr, arguments)
    count = _count(expr, arguments)
    if first.value <= 0 or last.value <= 0:
        raise problem("KVS109", "`log` needs values above zero", expr.span, help="begin and end above zero")
    ratio = last.value / first.value
    with decimal.localcontext(decimal.Context(prec=50, rounding=decimal.ROUND_HALF_EVEN)) as context:
        exponent = (decimal.Decimal(ratio.numerator) / decimal.Decimal(ratio.denominator)).ln()
        factors = []
        for i in range(1, count - 1):
            context.prec = 50
            factor = (exponent * i / (count - 1)).exp()
            context.prec = 30
            factors.append(Fraction(+factor))
    return _range(first, [first.value, *(first.value * factor for factor in factors), last.value])


def _ends(expr: syntax.Call, arguments: Sequence[Value]) -> tuple[Quantity, Quantity]:
    name = expr.function.name
    first, last = (quantity_of(arguments[i], expr.arguments[i].span, name) for i in range(2))
    if (first.dimension, first.percent) != (last.dimension, last.percent):
        raise problem(
            "KVS106",
            f"the range goes from {describe(first)} to {describe(last)}",
            expr.span,
            help="both ends need the same kind of unit",
        )
    return first, last


def _count(expr: syntax.Call, arguments: Sequence[Value]) -> int:
    name = expr.function.name
    steps = quantity_of(arguments[2], expr.arguments[2].span, name)
    if not steps.is_count or steps.value.denominator != 1 or not 2 <= steps.value <= LONGEST_LIST:
        raise problem(
            "KVS109",
            f"the count of `{name}` is a whole number from 2 to {LONGEST_LIST}",
            expr.arguments[2].span,
            help=f"write `{name}(from, to, count)`",
        )
    return steps.value.numerator


def _range(first: Quantity, values: Sequence[Fraction]) -> Value:
    # The values of a range lie between its ends; only the length of their fractions can be new, and only a converted
    # value matters.
    return tuple(Quantity(value, first.dimension, first.percent, loose=True) for value in values)
