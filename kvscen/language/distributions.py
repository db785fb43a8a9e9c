"""The functions that give distributions, and what their parameters must be.

The parameters are those by which people know a distribution: a median and a 95th percentile rather than the mean and
deviation of a logarithm. How they are drawn is in kvscen.pattern.laws.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from kvscen.language import syntax
from kvscen.language.codes import problem
from kvscen.language.diagnose import Span
from kvscen.language.operands import quantity_of
from kvscen.language.values import NUMBER, TOKENS, Distribution, Quantity, Value, describe

#: Ranks are drawn in floats: up to here each is one.
LARGEST_ZIPF = 2**52
LARGEST_SKEW = 16
LARGEST_POISSON = 10**9


def uniform(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """From one value to another, both included, each equally likely."""
    low, high = _alike(expr, arguments)
    if high.value < low.value:
        raise _bad(expr, f"`uniform` goes up, and `{high}` is below `{low}`", f"write `uniform({high}, {low})`")
    return Distribution("uniform", (low, high))


def normal(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """By mean and standard deviation. A setting's limits cut it off: what falls below its smallest value is that."""
    mean, deviation = _alike(expr, arguments)
    if deviation.value < 0:
        raise _bad(expr, "a deviation is not below zero", "write `normal(mean, deviation)`", 1)
    return Distribution("normal", (mean, deviation))


def lognormal(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """By median and 95th percentile: half of what is drawn is below the one, a twentieth above the other."""
    median, p95 = _alike(expr, arguments)
    if median.value <= 0:
        raise _bad(expr, "the median of `lognormal` is above zero", "write `lognormal(median, p95)`", 0)
    if p95.value < median.value:
        raise _bad(
            expr, f"the p95 of `lognormal`, `{p95}`, is below the median", "write the median first, then the p95", 1
        )
    return Distribution("lognormal", (median, p95))


def exponential(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """By its mean; times between events that do not know of each other."""
    mean = quantity_of(arguments[0], expr.arguments[0].span, "exponential")
    if mean.value <= 0:
        raise _bad(expr, "the mean of `exponential` is above zero", "write `exponential(mean)`", 0)
    return Distribution("exponential", (mean,))


def poisson(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """Whole numbers by their mean: how many such events there are."""
    mean = quantity_of(arguments[0], expr.arguments[0].span, "poisson")
    if mean.percent or mean.dimension not in (NUMBER, TOKENS):
        raise _bad(expr, f"`poisson` counts, and this is {describe(mean)}", "write a number or tokens", 0, "KVS106")
    if not 0 < mean.value <= LARGEST_POISSON:
        raise _bad(
            expr, f"the mean of `poisson` is above zero, and {LARGEST_POISSON} at most", "write `poisson(mean)`", 0
        )
    return Distribution("poisson", (mean,))


def zipf(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """Ranks 1 to count, rank k with a weight of k^-skew."""
    count, skew = (quantity_of(value, part.span, "zipf") for value, part in zip(arguments, expr.arguments, strict=True))
    if not count.is_count or count.value.denominator != 1 or not 1 <= count.value <= LARGEST_ZIPF:
        raise _bad(expr, "the count of `zipf` is a whole number from 1 to 2^52", "write `zipf(count, skew)`", 0)
    if not skew.is_count or not 0 <= skew.value <= LARGEST_SKEW:
        raise _bad(expr, f"the skew of `zipf` is a number from 0 to {LARGEST_SKEW}", "write `zipf(count, skew)`", 1)
    return Distribution("zipf", (count, skew))


def empirical(expr: syntax.Call, arguments: Sequence[Value]) -> Distribution:
    """One of a list of values, each equally likely or by its weight: a number or a percentage."""
    values = _list(expr, arguments, 0)
    odd = next((value for value in values if not _like(value, values[0])), None)
    if odd is not None:
        raise _bad(
            expr,
            f"the values of `empirical` are {describe(values[0])} and {describe(odd)}",
            "all values need the same kind of unit",
            0,
            "KVS106",
        )
    if len(arguments) == 1:
        return Distribution("empirical", (values,))
    weights = _list(expr, arguments, 1)
    if len(weights) != len(values):
        raise _bad(
            expr,
            f"`empirical` has {len(values)} values and {len(weights)} weights",
            "write one weight for each value",
            1,
        )
    total = sum((weight.value for weight in weights), Fraction())
    numbers = all(weight.is_count for weight in weights)
    if not (numbers or all(weight.percent for weight in weights)):
        raise _bad(expr, "weights are numbers or percentages", "write all alike: [3, 1] or [75 %, 25 %]", 1, "KVS106")
    if min(weight.value for weight in weights) < 0 or total == 0:
        raise _bad(expr, "a weight is not below zero, and one is above it", "leave the value out that never comes", 1)
    if not numbers and total != 1:
        raise _bad(
            expr,
            f"these percentages make {Quantity(total, percent=True)}",
            "let them make 100 %, or write numbers, which count in relation to each other",
            1,
        )
    return Distribution("empirical", (values, weights))


def _alike(expr: syntax.Call, arguments: Sequence[Value]) -> tuple[Quantity, Quantity]:
    name = expr.function.name
    first, second = (quantity_of(v, part.span, name) for v, part in zip(arguments, expr.arguments, strict=True))
    if not _like(second, first):
        raise problem(
            "KVS106",
            f"the values of `{name}` are {describe(first)} and {describe(second)}",
            expr.span,
            help="both need the same kind of unit",
        )
    return first, second


def _like(one: Quantity, other: Quantity) -> bool:
    return (one.dimension, one.percent) == (other.dimension, other.percent)


def _list(expr: syntax.Call, arguments: Sequence[Value], index: int) -> tuple[Quantity, ...]:
    value, span = arguments[index], expr.arguments[index].span
    if not isinstance(value, tuple) or not value:
        raise _bad(
            expr,
            f"`empirical` takes a list of values, and this is {describe(value) if value != () else 'an empty one'}",
            "write `empirical([1 s, 2 s, 10 s])` or `empirical([1 s, 10 s], [90 %, 10 %])`",
            index,
            "KVS106",
        )
    return tuple(quantity_of(item, span, "empirical") for item in value)


def _bad(expr: syntax.Call, message: str, help: str, argument: int | None = None, code: str = "KVS109") -> Exception:
    span: Span = expr.span if argument is None else expr.arguments[argument].span
    return problem(code, message, span, help=help)
