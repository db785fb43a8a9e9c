"""The functions of the language. Each gives a range of values for an axis."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from fractions import Fraction

import attrs

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.suggest import did_you_mean, listed
from kvscen.language.values import Quantity, Value, describe

LONGEST_LIST = 100_000

#: Functions whose names are taken but which this version does not have yet.
PLANNED_FUNCTIONS = frozenset({"uniform", "lognormal", "zipf", "hf", "trace", "secret"})


def _pow2(first: Quantity, last: Quantity, expr: syntax.Call) -> list[Fraction]:
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
    return values


def _linear(first: Quantity, last: Quantity, count: int, expr: syntax.Call) -> list[Fraction]:
    step = (last.value - first.value) / (count - 1)
    return [first.value + i * step for i in range(count)]


def _log(first: Quantity, last: Quantity, count: int, expr: syntax.Call) -> list[Fraction]:
    """Equal ratios. Decimal's `ln` and `exp` are correctly rounded, so that every machine computes the same digits; 30
    of the 50 are kept, so that a step that is exact comes out exact."""
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
    return [first.value, *(first.value * factor for factor in factors), last.value]


_COUNTED: dict[str, Callable[[Quantity, Quantity, int, syntax.Call], list[Fraction]]] = {"linear": _linear, "log": _log}

#: Every function of the language and how it is called.
FUNCTIONS: dict[str, str] = {
    "pow2": "pow2(from, to)",
    "linear": "linear(from, to, count)",
    "log": "log(from, to, count)",
}


def check_call(expr: syntax.Call) -> None:
    """Is there such a function, and does it take so many values? Raises ScenarioError."""
    name = expr.function.name
    if name not in FUNCTIONS:
        if name in PLANNED_FUNCTIONS:
            raise problem(
                "KVS109",
                f"`{name}` is not part of this version of kvscen",
                expr.function.span,
                help=f"the functions here are {listed(FUNCTIONS)}",
            )
        raise problem(
            "KVS101",
            f"no function is called `{name}`",
            expr.function.span,
            help=did_you_mean(name, FUNCTIONS, f"the functions are {listed(FUNCTIONS)}"),
        )
    usage = FUNCTIONS[name]
    wanted = usage.count(",") + 1
    if len(expr.arguments) != wanted:
        raise problem(
            "KVS109", f"`{name}` takes {wanted} values, not {len(expr.arguments)}", expr.span, help=f"write `{usage}`"
        )


def values_of(expr: syntax.Call, arguments: Sequence[Quantity]) -> Value:
    """The values of a call that `check_call` accepts. Raises ScenarioError."""
    name, usage = expr.function.name, FUNCTIONS[expr.function.name]
    first, last, *rest = arguments
    if (first.dimension, first.percent) != (last.dimension, last.percent):
        raise problem(
            "KVS106",
            f"the range goes from {describe(first)} to {describe(last)}",
            expr.span,
            help="both ends need the same kind of unit",
        )
    if name == "pow2":
        values = _pow2(first, last, expr)
    else:
        steps = rest[0]
        if not steps.is_count or steps.value.denominator != 1 or not 2 <= steps.value <= LONGEST_LIST:
            raise problem(
                "KVS109",
                f"the count of `{name}` is a whole number from 2 to {LONGEST_LIST}",
                expr.arguments[2].span,
                help=f"write `{usage}`",
            )
        values = _COUNTED[name](first, last, steps.value.numerator, expr)
    # The values of a range lie between its ends; only the length of their fractions can be new, and only a converted
    # value matters.
    return tuple(Quantity(value, first.dimension, first.percent, loose=True) for value in values)
