"""What stands where a number is needed."""

from __future__ import annotations

from kvscen.language.codes import problem
from kvscen.language.diagnose import Span
from kvscen.language.values import Quantity, Value, describe


def quantity_of(value: Value, span: Span, by: str) -> Quantity:
    """The value as the quantity that the operator or function `by` needs. Raises ScenarioError."""
    if isinstance(value, bool) or not isinstance(value, Quantity):
        raise problem(
            "KVS106",
            f"`{by}` needs a number, and this is {describe(value)}",
            span,
            help="calculate with each value of the list"
            if isinstance(value, tuple)
            else "write a number with its unit, or a `let` that is one",
        )
    return value
