"""Conditions at a point. A comparison with a path that the point does not reach, or that has no value there, is false,
whatever its operator; `not` of it is true."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from kvscen.language.scenario import AllOf, AnyOf, Bound, NotOf, Test
from kvscen.language.values import Quantity, Symbol
from kvscen.plan.late import Late

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition: Bound, answers: Mapping[str, Any], late: Late, choice: Mapping[int, int]) -> bool:
    """Is the condition true? `answers` are the values of all paths that the point reaches."""
    match condition:
        case Test():
            found = answers.get(condition.target.key)
            if found is None:
                return False
            wanted = late.compared(condition.expr, condition.target.type, choice)
            return wanted is not None and _OPERATORS[condition.operator](_plain(found), _plain(wanted))
        case AllOf():
            return all(holds(item, answers, late, choice) for item in condition.items)
        case AnyOf():
            return any(holds(item, answers, late, choice) for item in condition.items)
        case NotOf():
            return not holds(condition.item, answers, late, choice)


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value.value
    return value.name if isinstance(value, Symbol) else value
